package provision

import (
	"runtime"
	"sync"
)

// OnAllCores calls f for 0 to n-1, for some at once, and returns when all have returned. A goroutine is worth it for about
// each many of them.
func OnAllCores(n, each int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n/each+1)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}
