-- A new QR code takes the place of the one on the page; the old scene dies here. Where a failover has set the record back to
-- an earlier owner, the later one takes it again.
-- KEYS: login, scene
-- ARGV: id, inbox, connection, since, nonce, ticket (its hash), content, shown_ms, claimable_ms
-- Returns {'replaced' | 'scanned' | 'not_owner' | 'gone', version}.
local record = redis.call('HMGET', KEYS[1], 'state', 'connection', 'nonce', 'life', 'version', 'since', 'inbox')
if not record[1] then return {'gone', 0} end
local is_owner = record[2] == ARGV[3]
if not is_owner and tonumber(record[6]) >= tonumber(ARGV[4]) then return {'not_owner', record[5]} end
if record[1] ~= 'waiting' then return {'scanned', record[5]} end
if is_owner and record[3] == ARGV[5] then return {'replaced', record[5]} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'inbox', ARGV[2], 'connection', ARGV[3], 'since', ARGV[4],
  'nonce', ARGV[5], 'ticket', ARGV[6], 'content', ARGV[7], 'shown_until', string.format('%.0f', now + ARGV[8]))
redis.call('PEXPIRE', KEYS[1], record[4])
redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[9])
if not is_owner then
  redis.call('PUBLISH', record[7], table.concat({ARGV[1], version, 'waiting', ARGV[3], ARGV[4]}, ' '))
end
return {'replaced', version}
