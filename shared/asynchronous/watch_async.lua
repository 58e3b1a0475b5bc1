-- Look after asynchronous jobs: end those whose deadline is over, send those again that no worker has, let others in.
-- Returns nil if another gateway did so just now, else how many ended, the ids of the lost ones, and alternately id and
-- result of those that Celery ended.
-- ARGV: milliseconds for which no other gateway does the same, seconds after its deadline when a job ends, seconds after
-- which a job that was sent is looked at, most jobs of each kind, outcome of those that end, day (YYYY-MM-DD), seconds after
-- which no worker has a job that one took.
-- Constants: WATCHED, UNACKED, UNACKED_INDEX, RESULT_PREFIX, and those of common.lua.
if redis.call('EXISTS', ALL) == 0 then return false end
if not redis.call('SET', WATCHED, '', 'NX', 'PX', ARGV[1]) then return false end
local most = tonumber(ARGV[4])
local function some(key, before)
  return redis.call('ZRANGEBYSCORE', key, '-inf', digits(before), 'LIMIT', 0, most)
end
local function ids(member) return string.match(member, '^(%S+) (%S+)$') end

local ended, lost, results = 0, {}, {}
for _, member in ipairs(some(ALL, now - ARGV[2])) do
  local _, job = ids(member)
  ended = ended + finish(job, ARGV[5], FAIL, ARGV[6])
end

local in_queues = redis.call('LLEN', QUEUE) + redis.call('LLEN', EXTRA)
local function is_lost(tenant, job, member)
  local tag = redis.call('HGET', key_of(job), 'tag') or ''
  if redis.call('HEXISTS', UNACKED, tag) == 1 then
    -- Workers give back what nobody works on, unless their connection broke as they took it.
    local taken = redis.call('ZSCORE', UNACKED_INDEX, tag)
    return taken and tonumber(taken) < now - ARGV[7]
  end
  if redis.call('ZSCORE', 'fs:fair:out', member) or redis.call('ZSCORE', 'fs:fair:out:extra', member) then
    return in_queues == 0
  end
  return in_queues + redis.call('LLEN', line_of(tenant)) == 0
end

for _, member in ipairs(some(OUT, now - ARGV[3])) do
  local tenant, job = ids(member)
  local item, result = redis.call('HGET', key_of(job), 'item'), redis.call('GET', RESULT_PREFIX .. job)
  redis.call('ZADD', OUT, digits(now), member)
  if result then
    table.insert(results, job)
    table.insert(results, result)
  elseif item and is_lost(tenant, job, member) then
    table.insert(lost, job)
    enter(tenant, job, item)
  end
end

for _, tenant in ipairs(redis.call('HKEYS', COUNTS)) do let_in(tenant) end
return {ended, lost, results}
