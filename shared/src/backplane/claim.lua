-- A person scanned a QR code: the first one takes the scene, and its owner is told. Idempotent by scene and person.
-- KEYS: login, scene
-- ARGV: id, nonce, ticket (its hash), openid, who tells the owner ('script' | 'caller'), 'write' where every answer must write
-- something
-- Returns {'claimed' | 'repeated' | 'taken' | 'over' | 'wrong_ticket', life_ms, what the caller must tell, or nothing}.
local record = redis.call('HMGET', KEYS[1],
  'state', 'nonce', 'ticket', 'openid', 'life', 'inbox', 'connection', 'version', 'since')
local life = record[5] or 0
if ARGV[6] and record[1] then redis.call('HSET', KEYS[1], 'state', record[1]) end
if not record[1] or record[2] ~= ARGV[2] then return {'over', 0, ''} end
if record[1] ~= 'waiting' then
  if record[4] ~= ARGV[4] then return {'taken', life, ''} end
  -- Whoever was to tell of the claim may have died over it.
  local notice = table.concat({record[6], ARGV[1], record[8], 'scanned', record[7], record[9]}, ' ')
  return {'repeated', life, ARGV[5] == 'caller' and notice or ''}
end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'over', 0, ''} end
if record[3] ~= ARGV[3] then return {'wrong_ticket', 0, ''} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = string.format('%.0f', now)
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'state', 'scanned', 'openid', ARGV[4], 'scanned_at', at)
redis.call('PEXPIRE', KEYS[1], life)
redis.call('PEXPIRE', KEYS[2], life)
local notice = table.concat({ARGV[1], version, 'scanned', record[7], record[9], at}, ' ')
if ARGV[5] == 'caller' then return {'claimed', life, record[6] .. ' ' .. notice} end
redis.call('PUBLISH', record[6], notice)
return {'claimed', life, ''}
