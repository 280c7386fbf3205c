-- A sign of life for passes in hand. ARGV: run id and claimant of each.
for i = 1, #ARGV, 2 do
  if has_claim(ARGV[i], ARGV[i + 1]) then
    redis.call('HSET', run_key(ARGV[i]), 'claimed', now_ms())
    redis.call('ZADD', P .. ':passes', 'XX', now_ms(), ARGV[i])
  end
end
