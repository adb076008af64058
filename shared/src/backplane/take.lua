-- Takes from every budget, or from none; or gives back. budget/local.rs has the same moves in memory.
-- KEYS: one a budget, a hash with a field a rate
-- ARGV: amount (negative: give back), then for each rate: number of its key, count, period_ms
-- Returns {0, 0}, or {number of the key that keeps waiting longest, wait_ms}.
local DAY, BEIJING, ROUNDING = 86400000, 28800000, 0.5
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local today = math.floor((now + BEIJING) / DAY)
local midnight = (today + 1) * DAY - BEIJING
local amount = tonumber(ARGV[1])
local writes, ends, which, wait = {}, {}, 0, 0
for i = 2, #ARGV, 3 do
  local key, count, period = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local field = ARGV[i + 1] .. '/' .. ARGV[i + 2]
  local known, value, full_at, missing = redis.call('HGET', KEYS[key], field), nil, nil, 0
  if period == DAY then
    local day, taken = string.match(known or '', '^(%d+) (%d+)$')
    taken = math.max(0, (tonumber(day) == today and tonumber(taken) or 0) + amount)
    if taken > count then missing = midnight - now end
    value, full_at = string.format('%d %d', today, taken), midnight
  else
    full_at = math.min(math.max(tonumber(known or 0), now), now + period) + amount * period / count
    missing = full_at - now - period
    if missing <= ROUNDING then missing = 0 end
    value = string.format('%.3f', full_at)
  end
  if missing > wait then which, wait = key, missing end
  writes[#writes + 1] = {KEYS[key], field, value}
  ends[KEYS[key]] = math.max(ends[KEYS[key]] or 0, full_at)
end
if amount > 0 and which > 0 then return {which, math.ceil(wait)} end
for _, write in ipairs(writes) do redis.call('HSET', write[1], write[2], write[3]) end
for key, full_at in pairs(ends) do redis.call('PEXPIRE', key, math.max(1, math.ceil(full_at - now))) end
return {0, 0}
