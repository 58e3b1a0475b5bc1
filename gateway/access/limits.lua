-- Admit a request of a key, or refuse it: the generic cell rate algorithm (one number a key instead of a list of
-- requests), and a set of leases for concurrency. A refused request costs nothing. Returns PAID, TOO_MANY, or the
-- microseconds after which a request would be admitted.
-- KEYS: fs:rate and fs:leases of the key.
-- ARGV: microseconds between requests, microseconds of burst, concurrency, name and microseconds of the lease; 0: no
-- such limit.
-- Constants: PAID, TOO_MANY.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, concurrency, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
local paid
if interval > 0 then
  paid = tonumber(redis.call('GET', KEYS[1]) or 0)
  -- Further ahead than it can ever be: written before the clock was put back. The same for leases below.
  if paid > now + burst then paid = now end
  paid = math.max(now, paid) + interval
  if paid - now > burst then return math.ceil(paid - now - burst) end
end
if concurrency > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '(' .. string.format('%.0f', now + lease), '+inf')
  if redis.call('ZCARD', KEYS[2]) >= concurrency then return TOO_MANY end
  redis.call('ZADD', KEYS[2], now + lease, ARGV[4])
  redis.call('PEXPIRE', KEYS[2], math.ceil(lease / 1000))
end
if interval > 0 then redis.call('SET', KEYS[1], paid, 'PX', math.ceil((paid - now) / 1000)) end
return PAID
