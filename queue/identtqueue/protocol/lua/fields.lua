-- fields: reads fields of a task; writes nothing
-- KEYS  1 task:<id>  2 packed_tasks
-- ARGV  1 id  2.. names of fields
-- Returns the fields, in order, or nil for what the task lacks
-- include lib/readers.lua
return {reader_of(task, unpack(texts_of(packed_tasks, {id})))(unpack(ARGV, LIST_START))}
