-- The owner writes a waiting login again that a failover or a restart has lost, or set back. What the record has come to
-- stays, and so does a later owner, and a version of its own that is not older. An earlier owner who wrote it again is told.
-- KEYS: login, scene
-- ARGV: inbox, connection, since, version, nonce, ticket (its hash), content, shown_ms, claimable_ms, life_ms, left_ms,
-- code_hash, id, who tells that owner ('script' | 'caller')
-- Returns {version, state, connection, since} as they are now, 'written' or 'kept', and what the caller must tell, or nothing.
local known = redis.call('HMGET', KEYS[1], 'version', 'state', 'connection', 'since', 'inbox')
local version = tonumber(ARGV[4])
if known[1] then
  local ahead = known[4] - ARGV[3]
  if known[2] ~= 'waiting' or ahead > 0 or (ahead == 0 and tonumber(known[1]) >= version) then
    return {known[1], known[2], known[3], known[4], 'kept', ''}
  end
  if ahead < 0 then version = math.max(version, known[1] + 1) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1],
  'state', 'waiting', 'version', version, 'inbox', ARGV[1], 'connection', ARGV[2], 'since', ARGV[3],
  'nonce', ARGV[5], 'ticket', ARGV[6], 'content', ARGV[7],
  'shown_until', string.format('%.0f', now + ARGV[8]), 'life', ARGV[10], 'code_hash', ARGV[12])
redis.call('PEXPIRE', KEYS[1], ARGV[11])
if tonumber(ARGV[9]) > 0 then
  redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[9])
else
  redis.call('DEL', KEYS[2])
end
local notice = ''
if known[1] and known[3] ~= ARGV[2] then
  notice = table.concat({ARGV[13], version, 'waiting', ARGV[2], ARGV[3]}, ' ')
  if ARGV[14] == 'caller' then
    notice = known[5] .. ' ' .. notice
  else
    redis.call('PUBLISH', known[5], notice)
    notice = ''
  end
end
return {tostring(version), 'waiting', ARGV[2], ARGV[3], 'written', notice}
