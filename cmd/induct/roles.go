package main

import (
	"context"
	"slices"

	"induct/internal/sqlstore"
)

// roleMembers returns who has a directory role: graph.Config.RoleMembers from the accounts that people sign in with.
func roleMembers(store *sqlstore.Store) func(ctx context.Context, roleTemplateID string) ([]string, error) {
	return func(ctx context.Context, roleTemplateID string) ([]string, error) {
		accounts, err := store.Accounts(ctx)
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, a := range accounts {
			if slices.Contains(a.Roles, roleTemplateID) {
				ids = append(ids, a.ObjectID.String())
			}
		}
		return ids, nil
	}
}
