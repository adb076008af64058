-- A diagnosis: every command of the moves, on two keys that nobody else has and that end by themselves.
-- KEYS: login, scene
-- ARGV: life_ms
-- Returns {seconds, microseconds, and what was refused: 'COMMAND: why', ...}.
local refused = {}
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  refused[#refused + 1] = select(1, ...) .. ': ' .. answer.err
  return false
end
local time = try('TIME') or {'0', '0'}
try('SET', KEYS[2], 1, 'PX', ARGV[1])
try('GET', KEYS[2])
try('INCR', KEYS[2])
-- A hash without its end would stay for ever, so the one that cannot have an end is not written.
if try('PEXPIRE', KEYS[2], ARGV[1]) then
  try('HSET', KEYS[1], 'version', 1)
  try('PEXPIRE', KEYS[1], ARGV[1])
  try('HINCRBY', KEYS[1], 'version', 1)
  try('HMGET', KEYS[1], 'version')
  try('HGET', KEYS[1], 'version')
  try('PTTL', KEYS[1])
end
try('DEL', KEYS[1], KEYS[2])
return {time[1], time[2], unpack(refused)}
