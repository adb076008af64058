-- The application spends a code. One request gets the scan, and gets it again if it asks again. One that was withdrawn
-- gets nothing.
-- KEYS: login, scene
-- ARGV: code_hash, request, 'write' where every answer must write something
-- Returns nothing, or {nonce, openid, scanned_at}.
local record = redis.call('HMGET', KEYS[1],
  'state', 'code_hash', 'nonce', 'openid', 'scanned_at', 'redeemed_by', 'life',
  'withdrawn:' .. ARGV[2])
if ARGV[3] and record[1] then redis.call('HSET', KEYS[1], 'state', record[1]) end
if record[2] ~= ARGV[1] or record[8] then return false end
if record[1] == 'scanned' then
  redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('HSET', KEYS[1], 'state', 'redeemed', 'redeemed_by', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], record[7])
  redis.call('PEXPIRE', KEYS[2], record[7])
elseif record[1] ~= 'redeemed' or record[6] ~= ARGV[2] then
  return false
end
return {record[3], record[4], record[5]}
