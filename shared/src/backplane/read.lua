-- Reads a record for an answer that is final: whatever it rests on is written again, so that replicas can be waited for.
-- KEYS: login
-- ARGV: the fields, 'write'
-- Returns what they have.
local state = redis.call('HGET', KEYS[1], 'state')
if state then redis.call('HSET', KEYS[1], 'state', state) end
ARGV[#ARGV] = nil
return redis.call('HMGET', KEYS[1], unpack(ARGV))
