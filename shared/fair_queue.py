"""Fair queueing by tenant: which job goes to the workers next, whatever the others ask for.

Jobs wait in a line for each tenant, and are released into the queues that workers take from when there is a thread for
them. A tenant that asks for less than its share waits for no other tenant's jobs but those that run; what is more than
its share waits for its own. Start-time fair queueing: each tenant has a virtual time, in seconds of workers' threads
that its jobs have taken; the one with the lowest is next; one that comes back starts where the lowest is then, so that
nobody saves up. P. Goyal, H. Vin, H. Cheng, "Start-Time Fair Queueing", SIGCOMM 1996. What a job takes is known when it
is done, and is counted then.

No job that runs can be interrupted, and one may take seconds. So a worker has a few threads more than it works with,
for tenants none of whose jobs run: the extra queue is theirs, and the machine shares its processors between them.

A tenant is its id here (fs:tenant-ids), as wherever something of it is remembered.

    fs:fair:line:<tenant>   list of the jobs that wait: "<job id> <deadline> <message>", the first at the right
    fs:fair:waiting         sorted set of the tenants with a line, by virtual time
    fs:fair:used            sorted set: virtual time of each tenant that is ahead of fs:fair:now
    fs:fair:now             virtual time: the lowest of those that waited when a job was released last
    fs:fair:out             sorted set of the jobs released into QUEUE and not done: "<tenant> <job id>", by deadline
    fs:fair:out:extra       of those released into EXTRA
    fs:fair:running         hash: jobs of a tenant in both
    fs:fair:workers         hash: what each worker announced, "<threads> <extra> <until>"
    fs:fair:slots           hash of threads and extra: their sums, which expire with the last worker

All of it is written by the scripts here, each of which is atomic, and all but the lines could be lost: jobs that no
worker has are sent again by their gateways. While no worker announces threads, as those of earlier releases do, jobs
are released at once.
"""

from typing import Final

from shared.broker import UNACKED
from shared.jobs import QUEUE

EXTRA: Final = f"{QUEUE}.extra"
"""The Celery queue for tenants none of whose jobs run, while every thread is taken."""

HELD: Final = f"{QUEUE}.held"
"""A list as long as all lines together: what to scale workers by, besides QUEUE."""

TENANT: Final = "tenant"
"""Header of a job's message: the tenant in whose line it waited."""

WAITING: Final = "fs:fair:waiting"

LINE_PREFIX: Final = "fs:fair:line:"

NOMINAL_S: Final = 0.0001
"""What a job counts until it is done, so that several free threads do not all go to one tenant. No job takes less: what
was counted too much, and corrected, would be lost to a tenant once the others' time has passed it."""

MARGIN_S: Final = 2.0
"""How long after its deadline a job counts as done that nobody said was: its worker died, or never began it."""

_LOOKED_AT: Final = 100
"""Tenants, in their order, among which one without a running job is looked for."""

_COMMON: Final = f"""
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local function line_of(tenant) return '{LINE_PREFIX}' .. tenant end

local function virtual_time(tenant)
  local used = tonumber(redis.call('ZSCORE', 'fs:fair:used', tenant) or 0)
  return math.max(used, tonumber(redis.call('GET', 'fs:fair:now') or 0))
end

local function digits(number) return string.format('%.6f', number) end

local function set_virtual_time(tenant, value)
  redis.call('ZADD', 'fs:fair:used', digits(value), tenant)
  redis.call('ZADD', '{WAITING}', 'XX', digits(value), tenant)
end

local function forget(tenant, job)
  local member = tenant .. ' ' .. job
  local known = redis.call('ZREM', 'fs:fair:out', member) + redis.call('ZREM', 'fs:fair:out:extra', member)
  if known > 0 and redis.call('HINCRBY', 'fs:fair:running', tenant, -1) <= 0 then
    redis.call('HDEL', 'fs:fair:running', tenant)
  end
end

local function drop_overdue()
  for _, key in ipairs({{'fs:fair:out', 'fs:fair:out:extra'}}) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', digits(now - {MARGIN_S}))) do
      forget(string.match(member, '^(%S+) (%S+)$'))
    end
  end
end

local function take(tenant)
  local item = redis.call('RPOP', line_of(tenant))
  redis.call('RPOP', '{HELD}')
  if redis.call('LLEN', line_of(tenant)) == 0 then redis.call('ZREM', '{WAITING}', tenant) end
  return string.match(item, '^(%S+) (%S+) (.*)$')
end

local function next_tenant(any)
  if any then return redis.call('ZRANGE', '{WAITING}', 0, 0)[1] end
  for _, tenant in ipairs(redis.call('ZRANGE', '{WAITING}', 0, {_LOOKED_AT - 1})) do
    if redis.call('HEXISTS', 'fs:fair:running', tenant) == 0 then return tenant end
  end
end

local function release()
  drop_overdue()
  local slots = redis.call('HMGET', 'fs:fair:slots', 'threads', 'extra')
  local threads, extra = tonumber(slots[1]) or math.huge, tonumber(slots[2]) or 0
  while redis.call('EXISTS', '{WAITING}') == 1 do
    local ordinary, more = redis.call('ZCARD', 'fs:fair:out'), redis.call('ZCARD', 'fs:fair:out:extra')
    if ordinary + more >= threads + extra then return end
    -- Of those who have a job that runs, no more than threads in all.
    local tenant = next_tenant(ordinary + more < threads)
    if not tenant then return end
    local queue, out = '{QUEUE}', 'fs:fair:out'
    if ordinary >= threads then queue, out = '{EXTRA}', 'fs:fair:out:extra' end
    local begins, least = virtual_time(tenant), redis.call('ZRANGE', '{WAITING}', 0, 0, 'WITHSCORES')[2]
    local job, deadline, message = take(tenant)
    if tonumber(deadline) > now then
      -- An extra thread may be for one who is not the first: time does not run ahead of those who wait.
      redis.call('SET', 'fs:fair:now', least)
      redis.call('ZREMRANGEBYSCORE', 'fs:fair:used', '-inf', '(' .. least)
      set_virtual_time(tenant, begins + {NOMINAL_S})
      redis.call('ZADD', out, deadline, tenant .. ' ' .. job)
      redis.call('HINCRBY', 'fs:fair:running', tenant, 1)
      redis.call('LPUSH', queue, message)
    end
  end
end
"""

ENTER: Final = f"""{_COMMON}
local tenant, job, item = ARGV[1], ARGV[2], ARGV[3]
forget(tenant, job)
redis.call('LPUSH', line_of(tenant), item)
redis.call('LPUSH', '{HELD}', '')
if not redis.call('ZSCORE', '{WAITING}', tenant) then
  redis.call('ZADD', '{WAITING}', digits(virtual_time(tenant)), tenant)
end
release()
"""
"""Put a job into the line of its tenant. ARGV: tenant, job id, `item`."""

DONE: Final = f"""{_COMMON}
local tenant, job, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3])
forget(tenant, job)
set_virtual_time(tenant, virtual_time(tenant) + seconds - {NOMINAL_S})
release()
"""
"""A job has been done, and its thread is free. ARGV: tenant, job id, seconds that it took."""

WITHDRAW: Final = f"""{_COMMON}
local tenant, job, item, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('LREM', line_of(tenant), 1, item) == 1 then
  redis.call('RPOP', '{HELD}')
  if redis.call('LLEN', line_of(tenant)) == 0 then redis.call('ZREM', '{WAITING}', tenant) end
elseif redis.call('LREM', '{QUEUE}', -1, message) + redis.call('LREM', '{EXTRA}', -1, message) > 0 then
  forget(tenant, job)
end
release()
"""
"""Take a job out of its line or its queue; one that a worker has taken stays with it. ARGV: tenant, job id, `item`,
message.
"""

IS_LOST: Final = f"""
local waiting = redis.call('LLEN', '{QUEUE}') + redis.call('LLEN', '{EXTRA}')
waiting = waiting + redis.call('LLEN', '{LINE_PREFIX}' .. ARGV[1])
if waiting > 0 or redis.call('HEXISTS', '{UNACKED}', ARGV[2]) == 1 then return 0 end
return 1
"""
"""Whether no worker has a job and none will get it: 1 or 0. While jobs wait where it may wait, it may be among them.
ARGV: tenant, delivery tag.
"""

ANNOUNCE: Final = f"""{_COMMON}
local worker, threads, extra, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if threads > 0 then
  redis.call('HSET', 'fs:fair:workers', worker, threads .. ' ' .. extra .. ' ' .. digits(now + ttl))
else
  redis.call('HDEL', 'fs:fair:workers', worker)
end
local all_threads, all_extra = 0, 0
local said = redis.call('HGETALL', 'fs:fair:workers')
for at = 1, #said, 2 do
  local its_threads, its_extra, til = string.match(said[at + 1], '^(%S+) (%S+) (%S+)$')
  if tonumber(til) < now then
    redis.call('HDEL', 'fs:fair:workers', said[at])
  else
    all_threads, all_extra = all_threads + its_threads, all_extra + its_extra
  end
end
if all_threads > 0 then
  redis.call('HSET', 'fs:fair:slots', 'threads', all_threads, 'extra', all_extra)
  redis.call('EXPIRE', 'fs:fair:slots', ttl)
else
  redis.call('DEL', 'fs:fair:slots')
end
release()
"""
"""A worker takes jobs, with so many threads. ARGV: its id; threads, 0: it takes none any more; extra; seconds for which
that is so.
"""


def item(job_id: str, deadline: float, message: str) -> str:
    """A job as it waits in a line. deadline: Unix time in seconds."""
    return f"{job_id} {deadline:.3f} {message}"


def message_of(item: bytes) -> bytes:
    """The message of a job that waits in a line."""
    return item.split(b" ", 2)[2]


def extra_threads(threads: int) -> int:
    """How many threads more a worker has for tenants none of whose jobs run: half as many, at least one. More would
    only take memory: so many tenants would have to begin within one job.
    """
    return max(1, threads // 2)
