-- The browser is on another connection now; the owner before it is told. Repeated, it changes nothing. Its time grows with
-- every owner, so that after a failover that has set the record back it can be told who came last. Who was overtaken since
-- it asked whose the login was changes nothing: it may be a page that left long ago.
-- KEYS: login, scene
-- ARGV: id, inbox, connection, the connection that had it, who tells the owner before it ('script' | 'caller')
-- Returns nothing, or {state or 'overtaken', version, since, content, shown_ms, openid, life_ms, nonce, ticket,
-- claimable_ms, what the caller must tell, or nothing}.
local record = redis.call('HMGET', KEYS[1],
  'state', 'version', 'inbox', 'connection', 'content', 'shown_until', 'openid', 'life', 'nonce', 'ticket', 'since')
if not record[1] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, since, notice = tonumber(record[2]), tonumber(record[11]), ''
if record[4] ~= ARGV[3] then
  if record[4] ~= ARGV[4] then return {'overtaken', 0, 0, '', 0, '', 0, '', '', 0, ''} end
  version, since = redis.call('HINCRBY', KEYS[1], 'version', 1), math.max(since + 1, now)
  local written = string.format('%.0f', since)
  redis.call('HSET', KEYS[1], 'inbox', ARGV[2], 'connection', ARGV[3], 'since', written)
  redis.call('PEXPIRE', KEYS[1], record[8])
  if record[1] ~= 'waiting' then redis.call('PEXPIRE', KEYS[2], record[8]) end
  notice = table.concat({ARGV[1], version, record[1], ARGV[3], written}, ' ')
  if ARGV[5] == 'caller' then
    notice = record[3] .. ' ' .. notice
  else
    redis.call('PUBLISH', record[3], notice)
    notice = ''
  end
end
local shown = math.max(0, record[6] - now)
local claimable = math.max(0, redis.call('PTTL', KEYS[2]))
return {record[1], version, since, record[5], string.format('%.0f', shown), record[7] or '', record[8], record[9],
  record[10], claimable, notice}
