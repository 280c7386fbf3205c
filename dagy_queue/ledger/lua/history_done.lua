-- Drop what is recorded. ARGV: who asks, the first entry that is not recorded, then the ids of the recorded runs.
-- Returns 1; or 0 if another recorder leads: its records of these runs may have been overwritten with older ones, so
-- the runs are noted once more.
if redis.call('GET', P .. ':lead:recorder') == ARGV[1] then
  redis.call('XTRIM', P .. ':history', 'MINID', '=', ARGV[2])
  return 1
end
for i = 3, #ARGV do note(ARGV[i], '') end
return 0
