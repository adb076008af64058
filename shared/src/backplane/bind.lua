-- A signature is good for the first message that comes with it. Repeated with that message, it changes nothing.
-- KEYS: message
-- ARGV: message (its hash), life_ms
-- Returns 1 where the signature is this message's, 0 where it is another's.
local bound = redis.call('GET', KEYS[1])
if bound then return bound == ARGV[1] and 1 or 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
