-- End a job: store and publish its outcome unless one is stored, and acknowledge its message. It stands before done.lua of
-- the fair queue, which reports the job as done. The first command needs memory: on a full broker nothing is done.
-- KEYS: where Celery stores the outcome, and the channel on which it is published.
-- ARGV: those of done.lua (tenant, job id, seconds that the job took), delivery tag, outcome, seconds to keep it.
-- Constants: UNACKED, UNACKED_INDEX.
if redis.call('SET', KEYS[1], ARGV[5], 'EX', ARGV[6], 'NX') then redis.call('PUBLISH', KEYS[1], ARGV[5]) end
redis.call('ZREM', UNACKED_INDEX, ARGV[4])
redis.call('HDEL', UNACKED, ARGV[4])
