package oauth

import (
	"container/list"
	"sync"
)

// lru is a map of bounded size that forgets what was used longest ago.
type lru[K comparable, V any] struct {
	mu    sync.Mutex
	limit int
	order *list.List // of entry[K, V], last used first
	index map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{limit: limit, order: list.New(), index: make(map[K]*list.Element)}
}

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.index[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

// update replaces the value of key, the zero value if there is none, with what
// f makes of it, and returns that.
func (c *lru[K, V]) update(key K, f func(V) V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.index[key]
	if !ok {
		var zero V
		if c.order.Len() >= c.limit {
			last := c.order.Back()
			delete(c.index, last.Value.(entry[K, V]).key)
			c.order.Remove(last)
		}
		e = c.order.PushFront(entry[K, V]{key, zero})
		c.index[key] = e
	}
	c.order.MoveToFront(e)
	value := f(e.Value.(entry[K, V]).value)
	e.Value = entry[K, V]{key, value}
	return value
}

func (c *lru[K, V]) put(key K, value V) { c.update(key, func(V) V { return value }) }

func (c *lru[K, V]) remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.index[key]; ok {
		delete(c.index, key)
		c.order.Remove(e)
	}
}

func (c *lru[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}
