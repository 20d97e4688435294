package expr

import "errors"

// Step is one call, or one comparison, of an evaluation that was traced.
type Step struct {
	Func     string // the function, or "comparison"
	Pos, End int    // the call in the source, as byte offsets
	Args     []StepArg
	Result   Value // null if there is an error
	Err      error // an *EvalError, ErrIgnoreAttribute or ErrIgnoreObject, of this call or of one of its arguments
}

// StepArg is an argument of a Step as the function saw it.
type StepArg struct {
	Name      string // of the parameter; "left" and "right" of a comparison
	Value     Value
	Evaluated bool // false if the function did not ask for it, such as the branch of IIF that was not taken; a constant needs no asking
}

// Mask is what a trace shows for a value that is redacted (Microsoft Learn, "Reference for writing expressions for
// attribute mappings", Redact).
const Mask = "[Redact]"

// tracer collects the steps of one evaluation.
type tracer struct {
	steps []Step
	open  []*Step // calls that are being evaluated, outermost first
}

// Trace evaluates as Eval does and tells how: the steps are in the order in which they ended, so that an argument
// comes before the call that it is for. A value that is redacted is Mask in every step, and in the result.
// It compiles the program a second time and is meant for people, not for every record.
func (p *Program) Trace(ctx *Context) (Value, []Step, error) {
	traced := *p
	c := compiler{tracing: true, prog: &traced}
	c.env.Attribute = func(name string) (int, error) {
		slot, ok := p.slots[name]
		if !ok {
			return 0, errors.New("there is no attribute " + name)
		}
		return slot, nil
	}
	c.markRedacted()
	root, err := c.compile(p.tree)
	if err != nil {
		return Value{}, nil, err
	}
	own := *ctx
	own.work, own.trace = MaxWork, &tracer{}
	v, err := root(&own)
	if p.masked && !v.IsNull() {
		v = Text(Mask)
	}
	return v, own.trace.steps, err
}

// watch makes the arguments of n tell the tracer what they are.
func (c *compiler) watch(n *Node, args []eval) {
	if !c.tracing {
		return
	}
	for i, arg := range args {
		if n.Args[i] == nil {
			continue
		}
		masked := c.masked[n.Args[i]]
		args[i] = func(ctx *Context) (Value, error) {
			v, err := arg(ctx)
			if err == nil {
				open := ctx.trace.open
				open[len(open)-1].Args[i] = StepArg{Name: open[len(open)-1].Args[i].Name, Value: shownAs(v, masked), Evaluated: true}
			}
			return v, err
		}
	}
}

func shownAs(v Value, masked bool) Value {
	if masked && !v.IsNull() {
		return Text(Mask)
	}
	return v
}

// traced writes a step about each evaluation of n.
func (c *compiler) traced(n *Node, name string, run eval) eval {
	names := []string{"left", "right"}
	if f := lookup(n.Name); n.Kind == CallNode {
		names = names[:0]
		for i := range n.Args {
			names = append(names, f.Param(i).Name)
		}
	}
	masked := c.masked[n]
	return func(ctx *Context) (Value, error) {
		t := ctx.trace
		step := &Step{Func: name, Pos: n.Pos, End: n.End, Args: make([]StepArg, len(n.Args))}
		for i := range step.Args {
			step.Args[i].Name = names[i]
			if n.Args[i] != nil {
				v, ok := constant(n.Args[i])
				step.Args[i].Value, step.Args[i].Evaluated = shownAs(v, ok && c.masked[n.Args[i]]), ok
			}
		}
		t.open = append(t.open, step)
		v, err := run(ctx)
		t.open = t.open[:len(t.open)-1]
		step.Result, step.Err = shownAs(v, masked), err
		t.steps = append(t.steps, *step)
		return v, err
	}
}
