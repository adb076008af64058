-- Counts a login once, whoever asks first, and remembers its number for a while after the last asking.
-- KEYS: logins, counted
-- ARGV: life_ms
-- Returns the number.
local count = redis.call('GET', KEYS[2]) or redis.call('INCR', KEYS[1])
redis.call('SET', KEYS[2], count, 'PX', ARGV[1])
return tonumber(count)
