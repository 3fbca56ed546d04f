module identtqueue.dev/e2e/cluster/pause // identtqueue.dev/e2e/cluster/pause

go 1.26.0

tool identtqueue.dev/e2e/cluster/pause
