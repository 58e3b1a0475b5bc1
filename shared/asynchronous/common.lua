-- What the scripts of asynchronous jobs share: it stands after common.lua of the fair queue and of webhooks, and before
-- each of them.
-- Constants: KEEP_S, PREFIX, ALL, OUT, LINES, RUNNING, COUNTS, HELD_BYTES, EVERYBODY, ANSWERED, DAYS, DAY_PREFIX, FAIL.

local function key_of(job) return PREFIX .. job end

local function member_of(tenant, job) return tenant .. ' ' .. job end

local function add(counters, field, number)
  if number == 0 then return end
  if redis.call('HINCRBY', counters, field, number) <= 0 then redis.call('HDEL', counters, field) end
end

-- Let jobs of a tenant into its line of the fair queue: as many at once as the workers have threads.
local function let_in(tenant)
  local most = tonumber(redis.call('HGET', 'fs:fair:slots', 'threads')) or 1
  while (tonumber(redis.call('HGET', RUNNING, tenant)) or 0) < most do
    local job = redis.call('RPOP', LINES .. tenant)
    if not job then return end
    local item = redis.call('HGET', key_of(job), 'item')
    if item then
      add(RUNNING, tenant, 1)
      redis.call('ZADD', OUT, digits(now), member_of(tenant, job))
      enter(tenant, job, item)
    end
  end
end

local function meter(usage, record, status, day)
  if record and status ~= FAIL and redis.call('EXISTS', record) == 1 then
    if redis.call('HSETNX', record, ANSWERED, '1') == 0 then return end
  end
  redis.call('HINCRBY', DAY_PREFIX .. day, usage .. status, 1)
  redis.call('SADD', DAYS, day)
end

-- Keep the outcome of a job, unless it has one, count it, have it delivered, and let the tenant's next one in. Returns 1 if it ended now.
local function finish(job, outcome, status, day)
  local key = key_of(job)
  local tenant, ended, bytes, usage, record, webhook, form =
    unpack(redis.call('HMGET', key, 'tenant', 'ended', 'bytes', 'usage', 'record', 'webhook', 'form'))
  if not tenant or ended then return 0 end
  bytes = tonumber(bytes)
  redis.call('HSET', key, 'outcome', outcome, 'status', status, 'ended', digits(now))
  redis.call('HDEL', key, 'item', 'tag', 'webhook', 'form')
  redis.call('EXPIRE', key, KEEP_S)
  redis.call('ZREM', ALL, member_of(tenant, job))
  add(COUNTS, tenant, -1)
  add(HELD_BYTES, tenant, -bytes)
  add(HELD_BYTES, EVERYBODY, -bytes)
  if redis.call('ZREM', OUT, member_of(tenant, job)) == 1 then
    add(RUNNING, tenant, -1)
  else
    redis.call('LREM', LINES .. tenant, 1, job)
  end
  meter(usage, record, status, day)
  if webhook then queue_webhook(tenant, job, webhook, form, outcome) end
  let_in(tenant)
  return 1
end
