-- include lib/held.lua
-- include lib/due_held.lua
-- include lib/slots.lua
-- include lib/lies_elsewhere.lua
-- include lib/sweep.lua
-- include lib/suspects.lua
-- include lib/shelf_names.lua
-- include lib/serve_shelf.lua
-- The functions that a claim needs only for a queue that is limited, or has suspects, shelves or
-- cancelled tasks. The table passes them to functions that are defined above this include.
local special_functions = {admit = admit, due_held = due_held, find_dead = find_dead,
  lies_elsewhere = lies_elsewhere, living = living, remove_tombstones = remove_tombstones,
  vacate = vacate}
