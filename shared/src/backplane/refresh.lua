-- A new QR code takes the place of the one on the page; the old scene dies here.
-- KEYS: login, scene
-- ARGV: connection, nonce, ticket (its hash), content, shown_ms, claimable_ms
-- Returns {'replaced' | 'scanned' | 'not_owner' | 'gone', version}.
local record = redis.call('HMGET', KEYS[1], 'state', 'connection', 'nonce', 'life', 'version')
if not record[1] then return {'gone', 0} end
if record[2] ~= ARGV[1] then return {'not_owner', record[5]} end
if record[1] ~= 'waiting' then return {'scanned', record[5]} end
if record[3] == ARGV[2] then return {'replaced', record[5]} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'nonce', ARGV[2], 'ticket', ARGV[3], 'content', ARGV[4],
  'shown_until', string.format('%.0f', now + ARGV[5]))
redis.call('PEXPIRE', KEYS[1], record[4])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[6])
return {'replaced', version}
