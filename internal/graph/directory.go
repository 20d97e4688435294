package graph

// readingRoutes are those of the directory: users and what stands beside them, and of batches of requests.
func readingRoutes() []route {
	return []route{
		{"/$batch", post((*call).batch, nil, denied)},
		{"/users", get((*call).listUsers, mayReadUsers, denied)},
		{"/users/$count", get((*call).countUsers, mayReadUsers, denied)},
		{"/users/{user}", map[string]endpoint{
			"GET":    {(*call).getUser, mayReadUsers, denied},
			"DELETE": {(*call).deleteUser, mayDeleteUsers, denied},
		}},
		{"/users/{user}/manager", get((*call).getManager, mayReadUsers, denied)},
		{"/users/{user}/manager/$ref", get((*call).getManagerRef, mayReadUsers, denied)},
	}
}
