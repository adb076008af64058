-- A person unfollowed the account: the login count goes, once for each message that says so.
-- KEYS: logins, forgotten
-- ARGV: life_ms
-- Returns 1 where it went now, 0 for a repeat.
if not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
return 1
