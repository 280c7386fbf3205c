-- A monitor has begun to listen: what is known is told once more, for all who ask within a few seconds. ARGV: milliseconds
-- in which others ask the same. Returns 1, or 0 if somebody asked just now.
if not redis.call('SET', P .. ':watched:again', '1', 'PX', ARGV[1], 'NX') then return 0 end
tell('again', '1')
return 1
