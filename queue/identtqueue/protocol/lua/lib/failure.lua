-- Reads the type and the first line of an encoded failure, at most 200 bytes of it.
local function failure_of(packed)
  local readable, parts = pcall(cmsgpack.unpack, packed)
  if not readable or type(parts) ~= 'table' then return '', '' end
  local line = string.match(tostring(parts[2] or ''), '^[^\r\n]*')
  if #line > 200 then  -- a cut may split a character: the last one is dropped
    line = string.gsub(string.sub(line, 1, 200), '[\194-\244][\128-\191]*$', '')
  end
  return tostring(parts[1] or ''), line
end
