package provision

import "context"

type actorKey struct{}

// WithActor says in whose name what is done with the context is done.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns in whose name something is done: the service's own, the zero Actor, unless WithActor has said otherwise.
func ActorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

// label is how receipts and entries name the actor.
func (a Actor) label() string {
	switch {
	case a.Name != "":
		return a.Name
	case a.ID != "":
		return a.ID
	}
	return "the service"
}
