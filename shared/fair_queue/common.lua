-- What the scripts of the fair queue share: it stands before each of them but is_lost.lua.
-- Constants: QUEUE, EXTRA, HELD, WAITING, LINE_PREFIX, NOMINAL_S, MARGIN_S, CANDIDATES.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local function line_of(tenant) return LINE_PREFIX .. tenant end

local function virtual_time(tenant)
  local used = tonumber(redis.call('ZSCORE', 'fs:fair:used', tenant) or 0)
  return math.max(used, tonumber(redis.call('GET', 'fs:fair:now') or 0))
end

local function digits(number) return string.format('%.6f', number) end

local function set_virtual_time(tenant, value)
  redis.call('ZADD', 'fs:fair:used', digits(value), tenant)
  redis.call('ZADD', WAITING, 'XX', digits(value), tenant)
end

local function forget(tenant, job)
  local member = tenant .. ' ' .. job
  local known = redis.call('ZREM', 'fs:fair:out', member) + redis.call('ZREM', 'fs:fair:out:extra', member)
  if known > 0 and redis.call('HINCRBY', 'fs:fair:running', tenant, -1) <= 0 then
    redis.call('HDEL', 'fs:fair:running', tenant)
  end
end

local function drop_overdue()
  for _, key in ipairs({'fs:fair:out', 'fs:fair:out:extra'}) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', digits(now - MARGIN_S))) do
      forget(string.match(member, '^(%S+) (%S+)$'))
    end
  end
end

local function take(tenant)
  local item = redis.call('RPOP', line_of(tenant))
  redis.call('RPOP', HELD)
  if redis.call('LLEN', line_of(tenant)) == 0 then redis.call('ZREM', WAITING, tenant) end
  return string.match(item, '^(%S+) (%S+) (.*)$')
end

local function next_tenant(any)
  if any then return redis.call('ZRANGE', WAITING, 0, 0)[1] end
  for _, tenant in ipairs(redis.call('ZRANGE', WAITING, 0, CANDIDATES - 1)) do
    if redis.call('HEXISTS', 'fs:fair:running', tenant) == 0 then return tenant end
  end
end

local function release()
  drop_overdue()
  local slots = redis.call('HMGET', 'fs:fair:slots', 'threads', 'extra')
  local threads, extra = tonumber(slots[1]) or math.huge, tonumber(slots[2]) or 0
  while redis.call('EXISTS', WAITING) == 1 do
    local ordinary, more = redis.call('ZCARD', 'fs:fair:out'), redis.call('ZCARD', 'fs:fair:out:extra')
    if ordinary + more >= threads + extra then return end
    -- Tenants that have a running job share no more than `threads` in all.
    local tenant = next_tenant(ordinary + more < threads)
    if not tenant then return end
    local queue, out = QUEUE, 'fs:fair:out'
    if ordinary >= threads then queue, out = EXTRA, 'fs:fair:out:extra' end
    local begins, least = virtual_time(tenant), redis.call('ZRANGE', WAITING, 0, 0, 'WITHSCORES')[2]
    local job, deadline, message = take(tenant)
    if tonumber(deadline) > now then
      -- An extra thread may serve a tenant that is not the first: time does not run ahead of those that wait.
      redis.call('SET', 'fs:fair:now', least)
      redis.call('ZREMRANGEBYSCORE', 'fs:fair:used', '-inf', '(' .. least)
      set_virtual_time(tenant, begins + NOMINAL_S)
      redis.call('ZADD', out, deadline, tenant .. ' ' .. job)
      redis.call('HINCRBY', 'fs:fair:running', tenant, 1)
      redis.call('LPUSH', queue, message)
    end
  end
end
