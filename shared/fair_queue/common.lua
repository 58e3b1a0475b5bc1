-- What the scripts of the fair queue share: it stands before each of them but is_lost.lua.
-- Constants: QUEUE, EXTRA, HELD, WAITING, LINE_PREFIX, NOMINAL_S, MARGIN_S, CANDIDATES.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local virtual_now = tonumber(redis.call('GET', 'fs:fair:now') or 0)

local function line_of(tenant) return LINE_PREFIX .. tenant end

local function virtual_time(tenant)
  return math.max(tonumber(redis.call('ZSCORE', 'fs:fair:used', tenant) or 0), virtual_now)
end

local function digits(number) return string.format('%.6f', number) end

local function set_virtual_time(tenant, value)
  redis.call('ZADD', 'fs:fair:used', digits(value), tenant)
  redis.call('ZADD', WAITING, 'XX', digits(value), tenant)
end

local function forget(tenant, job)
  local member = tenant .. ' ' .. job
  local known = redis.call('ZREM', 'fs:fair:out', member) == 1 or redis.call('ZREM', 'fs:fair:out:extra', member) == 1
  if known and redis.call('HINCRBY', 'fs:fair:running', tenant, -1) <= 0 then
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

local function parts(item) return string.match(item, '^(%S+) (%S+) (.*)$') end

local function take(tenant)
  local item = redis.call('RPOP', line_of(tenant))
  redis.call('RPOP', HELD)
  if redis.call('LLEN', line_of(tenant)) == 0 then redis.call('ZREM', WAITING, tenant) end
  return parts(item)
end

local function idle_tenant()
  for _, tenant in ipairs(redis.call('ZRANGE', WAITING, 0, CANDIDATES - 1)) do
    if redis.call('HEXISTS', 'fs:fair:running', tenant) == 0 then return tenant end
  end
end

local function slots()
  local announced = redis.call('HMGET', 'fs:fair:slots', 'threads', 'extra')
  return tonumber(announced[1]) or math.huge, tonumber(announced[2]) or 0
end

local function released()
  return redis.call('ZCARD', 'fs:fair:out'), redis.call('ZCARD', 'fs:fair:out:extra')
end

-- lowest: virtual time of the first of the waiting tenants. An extra thread may serve another: time does not run ahead
-- of those that wait.
local function start(tenant, job, deadline, message, lowest, queue, out)
  local begins = virtual_time(tenant)
  redis.call('SET', 'fs:fair:now', lowest)
  virtual_now = tonumber(lowest)
  redis.call('ZREMRANGEBYSCORE', 'fs:fair:used', '-inf', '(' .. lowest)
  set_virtual_time(tenant, begins + NOMINAL_S)
  redis.call('ZADD', out, deadline, tenant .. ' ' .. job)
  redis.call('HINCRBY', 'fs:fair:running', tenant, 1)
  redis.call('LPUSH', queue, message)
end

local function release()
  drop_overdue()
  local first = redis.call('ZRANGE', WAITING, 0, 0, 'WITHSCORES')
  if not first[1] then return end
  local threads, extra = slots()
  local ordinary, more = released()
  while first[1] and ordinary + more < threads + extra do
    -- Tenants that have a running job share no more than `threads` in all.
    local tenant = ordinary + more < threads and first[1] or idle_tenant()
    if not tenant then return end
    local job, deadline, message = take(tenant)
    if tonumber(deadline) > now then
      if ordinary < threads then
        start(tenant, job, deadline, message, first[2], QUEUE, 'fs:fair:out')
        ordinary = ordinary + 1
      else
        start(tenant, job, deadline, message, first[2], EXTRA, 'fs:fair:out:extra')
        more = more + 1
      end
    end
    first = redis.call('ZRANGE', WAITING, 0, 0, 'WITHSCORES')
  end
end

-- Put a job into the line of its tenant, and release what may run. Where no job waits and a thread is free it is released
-- at once, without a line.
local function enter(tenant, job, item)
  forget(tenant, job)
  if redis.call('EXISTS', WAITING, line_of(tenant)) == 0 then
    drop_overdue()
    local ordinary, more = released()
    if ordinary + more < slots() then
      local _, deadline, message = parts(item)
      if tonumber(deadline) > now then
        start(tenant, job, deadline, message, digits(virtual_time(tenant)), QUEUE, 'fs:fair:out')
      end
      return
    end
  end
  redis.call('LPUSH', line_of(tenant), item)
  redis.call('LPUSH', HELD, '')
  if not redis.call('ZSCORE', WAITING, tenant) then
    redis.call('ZADD', WAITING, digits(virtual_time(tenant)), tenant)
  end
  release()
end
