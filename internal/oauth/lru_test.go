package oauth

import "testing"

func TestLRU(t *testing.T) {
	c := newLRU[string, int](2)
	c.put("a", 1)
	c.put("b", 2)
	if v, ok := c.get("a"); v != 1 || !ok {
		t.Errorf("a is %d, %v", v, ok)
	}
	c.put("c", 3) // takes the place of b
	if _, ok := c.get("b"); ok || c.len() != 2 {
		t.Errorf("b is still there, length %d", c.len())
	}
	if v := c.update("a", func(v int) int { return v + 10 }); v != 11 {
		t.Errorf("a is %d, want 11", v)
	}
	c.remove("a")
	c.remove("a")
	if _, ok := c.get("a"); ok || c.len() != 1 {
		t.Errorf("a is still there, length %d", c.len())
	}
}
