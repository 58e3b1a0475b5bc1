-- What the scripts of webhooks share: it stands before each of them, and before those that end asynchronous jobs.
-- Constants: DELIVERY, DUE, TENANTS, WAITING, DEAD, DEAD_OF, MOST_WAITING, MOST_DEAD, KEEP_DEAD_S, KEEP_S.

local clock = redis.call('TIME')
local moment = clock[1] + clock[2] / 1000000

local function as_text(number) return string.format('%.3f', number) end

-- Note when a tenant has its next delivery due.
local function plan(tenant)
  local first = redis.call('ZRANGE', DUE .. tenant, 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', TENANTS, first[2], tenant)
  else
    redis.call('ZREM', TENANTS, tenant)
  end
end

local function count_dead(tenant)
  local dead = redis.call('ZCARD', DEAD_OF .. tenant)
  if dead > 0 then redis.call('ZADD', DEAD, dead, tenant) else redis.call('ZREM', DEAD, tenant) end
end

-- Put a delivery on the tenant's list of dead ones, which loses its oldest and those that are too old.
local function bury(tenant, job, why)
  local list = DEAD_OF .. tenant
  redis.call('HSET', DELIVERY .. job, 'died', as_text(moment), 'why', why)
  redis.call('EXPIRE', DELIVERY .. job, KEEP_DEAD_S)
  redis.call('ZADD', list, as_text(moment), job)
  local function remove(old)
    redis.call('ZREM', list, old)
    redis.call('UNLINK', DELIVERY .. old)
  end
  for _, old in ipairs(redis.call('ZRANGE', list, 0, -1 - MOST_DEAD)) do remove(old) end
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', list, '-inf', as_text(moment - KEEP_DEAD_S))) do remove(old) end
  count_dead(tenant)
end

local function make_due(tenant, job)
  redis.call('ZADD', DUE .. tenant, as_text(moment), job)
  redis.call('ZADD', WAITING, as_text(moment), job)
  plan(tenant)
end

-- Have the outcome of a job delivered. form: that of its confidences.
local function queue_webhook(tenant, job, url, form, outcome)
  redis.call('HSET', DELIVERY .. job, 'tenant', tenant, 'url', url, 'form', form, 'outcome', outcome,
    'created', as_text(moment), 'attempts', 0)
  redis.call('EXPIRE', DELIVERY .. job, KEEP_S)
  if redis.call('ZCARD', DUE .. tenant) >= MOST_WAITING then
    bury(tenant, job, 'too many wait')
  else
    make_due(tenant, job)
  end
end
