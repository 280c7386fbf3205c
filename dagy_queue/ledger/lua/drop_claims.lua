-- Passes that end without concluding their runs. ARGV: run id and claimant of each.
for i = 1, #ARGV, 2 do
  if has_claim(ARGV[i], ARGV[i + 1]) then redis.call('HDEL', run_key(ARGV[i]), 'claimed', 'claimant') end
end
