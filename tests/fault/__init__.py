"""Programs that try to prove the promise wrong: kills, cut connections, a lying API."""
