-- A login begins. Repeated with the same connection (a client library's retry) it changes nothing.
-- KEYS: login, scene
-- ARGV: inbox, connection, nonce, ticket (its hash), content, shown_ms, claimable_ms, life_ms, code_hash
-- Returns {version, since}, or {0, 0} where another connection has a record of this name.
local known = redis.call('HMGET', KEYS[1], 'connection', 'version', 'since')
if known[1] then
  if known[1] ~= ARGV[2] then return {0, 0} end
  return {tonumber(known[2]), tonumber(known[3])}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1],
  'state', 'waiting', 'version', 1, 'inbox', ARGV[1], 'connection', ARGV[2], 'since', string.format('%.0f', now),
  'nonce', ARGV[3], 'ticket', ARGV[4], 'content', ARGV[5],
  'shown_until', string.format('%.0f', now + ARGV[6]), 'life', ARGV[8], 'code_hash', ARGV[9])
redis.call('PEXPIRE', KEYS[1], ARGV[8])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[7])
return {1, now}
