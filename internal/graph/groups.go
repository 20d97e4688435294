package graph

import (
	"slices"
	"strings"
)

// groupRoutes are those of groups. There are none in the directory yet: the collection is empty, and no id is a group's.
func groupRoutes() []route {
	of := map[string]endpoint{
		"GET":    {(*call).noGroup, mayReadGroups},
		"PATCH":  {(*call).noGroup, mayWriteGroups},
		"DELETE": {(*call).noGroup, mayWriteGroups},
	}
	routes := []route{
		{"/groups", map[string]endpoint{
			"GET":  {(*call).listGroups, mayReadGroups},
			"POST": {(*call).lackGroups, mayWriteGroups},
		}},
		{"/groups/$count", get((*call).listGroups, mayReadGroups)},
		{"/groups/{group}", of},
	}
	for _, navigation := range []string{"members", "transitiveMembers", "memberOf", "owners"} {
		routes = append(routes,
			route{"/groups/{group}/" + navigation, get((*call).noGroup, mayReadGroups)},
			route{"/groups/{group}/" + navigation + "/$count", get((*call).noGroup, mayReadGroups)})
	}
	for _, navigation := range []string{"members", "owners"} {
		routes = append(routes,
			route{"/groups/{group}/" + navigation + "/$ref", map[string]endpoint{
				"GET":  {(*call).noGroup, mayReadGroups},
				"POST": {(*call).noGroup, mayWriteGroups},
			}},
			route{"/groups/{group}/" + navigation + "/{id}/$ref", map[string]endpoint{"DELETE": {(*call).noGroup, mayWriteGroups}}})
	}
	return routes
}

// groupShape has the properties of Graph's group that a query may name, without values.
func groupShape() object {
	return shapeOf("id", "assignedLabels", "classification", "createdDateTime", "deletedDateTime", "description", "displayName", "expirationDateTime", "groupTypes",
		"isAssignableToRole", "mail", "mailEnabled", "mailNickname", "membershipRule", "membershipRuleProcessingState", "onPremisesSamAccountName", "onPremisesSyncEnabled",
		"preferredLanguage", "proxyAddresses", "renewedDateTime", "securityEnabled", "securityIdentifier", "theme", "uniqueName", "visibility")
}

// shapeOf is an object of which only the names of members are known.
func shapeOf(names ...string) object {
	o := make(object, len(names))
	for i, n := range names {
		o[i] = member{n, nil}
	}
	return o
}

// listGroups lists groups (group: list).
func (c *call) listGroups() error { return c.advanced("groups", nil, groupShape()) }

// noGroup is the answer for any one group.
func (c *call) noGroup() error {
	k := c.params["{group}"]
	if !slices.Contains([]string{"", "id", "uniquename"}, strings.ToLower(k.property)) {
		return badRequest("'%s' is not a key of groups.", clip(k.property))
	}
	return objectNotFound(k.value)
}

func (c *call) lackGroups() error {
	return notSupported("Groups are not kept in this directory yet: people are.")
}
