-- Have dead deliveries of a tenant tried again, the oldest first, for as long as new ones. Returns how many.
-- ARGV: tenant.
-- Constants: those of common.lua.
local tenant, revived = ARGV[1], 0
for _, job in ipairs(redis.call('ZRANGE', DEAD_OF .. tenant, 0, -1)) do
  redis.call('ZREM', DEAD_OF .. tenant, job)
  if redis.call('EXISTS', DELIVERY .. job) == 1 then
    redis.call('HSET', DELIVERY .. job, 'created', as_text(moment), 'attempts', 0)
    redis.call('HDEL', DELIVERY .. job, 'died', 'why')
    redis.call('EXPIRE', DELIVERY .. job, KEEP_S)
    make_due(tenant, job)
    revived = revived + 1
  end
end
count_dead(tenant)
return revived
