-- Note how an attempt to deliver ended.
-- ARGV: tenant, job id, RETRY, DEAD_NOW or DELIVERED, seconds until the next attempt, why it failed.
-- Constants: RETRY, DEAD_NOW, and those of common.lua.
local tenant, job, how = ARGV[1], ARGV[2], ARGV[3]
-- Another gateway may have settled it, after the lease of this one was over.
if not redis.call('ZSCORE', DUE .. tenant, job) then return 0 end
if how == RETRY and redis.call('EXISTS', DELIVERY .. job) == 1 then
  redis.call('HINCRBY', DELIVERY .. job, 'attempts', 1)
  redis.call('HSET', DELIVERY .. job, 'why', ARGV[5])
  redis.call('ZADD', DUE .. tenant, as_text(moment + ARGV[4]), job)
else
  redis.call('ZREM', DUE .. tenant, job)
  redis.call('ZREM', WAITING, job)
  if how == DEAD_NOW then
    redis.call('HINCRBY', DELIVERY .. job, 'attempts', 1)
    bury(tenant, job, ARGV[5])
  else
    redis.call('UNLINK', DELIVERY .. job)
  end
end
plan(tenant)
return 1
