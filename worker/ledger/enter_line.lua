-- Take a place in the line of a collection's unique adds, or keep the one that this origin has, and remove those whose
-- time is over. Returns the place, what this origin decided, or an empty text, and then the origins before it.
-- A place is the time in microseconds at which it was taken, or more, so that none is ever given twice.
-- KEYS: fs:unique of the collection.
-- ARGV: origin, seconds for which the place is held.
-- Constants: WRITE_S.
local time = redis.call('TIME')
local now = tonumber(time[1])
local places, last = {}, now * 1000000 + time[2] - 1
local mine, ends, decision
local entries = redis.call('HGETALL', KEYS[1])
for at = 1, #entries, 2 do
  local origin = entries[at]
  local place, held, decided = string.match(entries[at + 1], '^(%d+) (%d+) (.*)$')
  if tonumber(held) <= now then
    redis.call('HDEL', KEYS[1], origin)
  elseif origin == ARGV[1] then
    mine, ends, decision = tonumber(place), tonumber(held), decided
  else
    places[origin] = tonumber(place)
    last = math.max(last, places[origin])
  end
end
mine = mine or last + 1
ends = math.max(ends or 0, now + ARGV[2])
local place = string.format('%.0f', mine)
redis.call('HSET', KEYS[1], ARGV[1], place .. ' ' .. ends .. ' ' .. (decision or ''))
redis.call('EXPIRE', KEYS[1], WRITE_S)
local answer = {place, decision or ''}
for origin, its in pairs(places) do
  if its < mine then table.insert(answer, origin) end
end
return answer
