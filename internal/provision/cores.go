package provision

import (
	"runtime"
	"sync"
	"sync/atomic"
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

// Ahead calls f for 0 to n-1, beside the caller, in portions of each many. The caller calls need(i), with growing i, before it
// uses what f(i) makes: it makes a portion itself that nobody has begun, and waits for one that somebody has.
func Ahead(n, each int, f func(i int)) (need func(i int)) {
	type portion struct {
		begun atomic.Bool
		made  chan struct{}
	}
	portions := make([]portion, (n+each-1)/each)
	for p := range portions {
		portions[p].made = make(chan struct{})
	}
	work := func(p int) {
		if !portions[p].begun.CompareAndSwap(false, true) {
			return
		}
		for i := p * each; i < min(n, (p+1)*each); i++ {
			f(i)
		}
		close(portions[p].made)
	}
	for range min(runtime.GOMAXPROCS(0)-1, len(portions)-1) {
		go func() {
			for p := range portions {
				work(p)
			}
		}()
	}
	return func(i int) {
		work(i / each)
		<-portions[i/each].made
	}
}
