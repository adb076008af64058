-- A request that could not be answered gives the code back, if it spent it, and never spends it any more. The record's
-- life stays as it was: the number of its login is remembered no longer than the spending made it live.
-- KEYS: login
-- ARGV: code_hash, request
-- Returns 1, or 0 where there is no such code.
local record = redis.call('HMGET', KEYS[1], 'state', 'code_hash', 'redeemed_by')
if record[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'withdrawn:' .. ARGV[2], '1')
if record[1] == 'redeemed' and record[3] == ARGV[2] then
  redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('HSET', KEYS[1], 'state', 'scanned', 'redeemed_by', '')
end
return 1
