-- Make a job no writer of the faces any more. Returns the faces that are claimed for deletion, counted from 0.
-- KEYS: fs:adding of each face, fs:deletion of each face.
-- ARGV: job id.
local claimed = {}
for face = 1, #KEYS / 2 do
  redis.call('ZREM', KEYS[face], ARGV[1])
  if redis.call('EXISTS', KEYS[#KEYS / 2 + face]) == 1 then table.insert(claimed, face - 1) end
end
return claimed
