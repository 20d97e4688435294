package provision

import "context"

type actorKey struct{}

// WithActor returns a context in which a acts: the audit log names who it is that changes a job.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns who acts in ctx; the zero Actor, which is the service itself, if nobody was named.
func ActorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}
