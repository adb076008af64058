-- The owner writes a waiting login again that a failover or a restart has lost, or set back. What the record has come to
-- since, and a version that is not older, stays. An owner who wrote an older one again is told.
-- KEYS: login, scene
-- ARGV: inbox, connection, version, nonce, ticket (its hash), content, shown_ms, claimable_ms, life_ms, left_ms, code_hash,
-- id
-- Returns {version, state, connection} as they are now.
local known = redis.call('HMGET', KEYS[1], 'version', 'state', 'connection', 'inbox')
if known[1] and (known[2] ~= 'waiting' or tonumber(known[1]) >= tonumber(ARGV[3])) then
  return {known[1], known[2], known[3]}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1],
  'state', 'waiting', 'version', ARGV[3], 'inbox', ARGV[1], 'connection', ARGV[2],
  'nonce', ARGV[4], 'ticket', ARGV[5], 'content', ARGV[6],
  'shown_until', string.format('%.0f', now + ARGV[7]), 'life', ARGV[9], 'code_hash', ARGV[11])
redis.call('PEXPIRE', KEYS[1], ARGV[10])
if tonumber(ARGV[8]) > 0 then
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[8])
else
  redis.call('DEL', KEYS[2])
end
if known[1] and known[3] ~= ARGV[2] then
  redis.call('PUBLISH', known[4], ARGV[12] .. ' ' .. ARGV[3] .. ' waiting ' .. ARGV[2])
end
return {ARGV[3], 'waiting', ARGV[2]}
