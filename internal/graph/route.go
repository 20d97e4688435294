package graph

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"induct/internal/oauth"
	"induct/internal/provision"
)

// Application permissions (Microsoft Graph permissions reference) that open the routes.
var (
	mayUpload      = []string{"SynchronizationData-User.Upload"}
	mayReadSync    = []string{"Synchronization.Read.All", "Synchronization.ReadWrite.All"}
	mayWriteSync   = []string{"Synchronization.ReadWrite.All"}
	mayDiscover    = []string{"Synchronization.ReadWrite.All", "Directory.ReadWrite.All"}
	mayReadUploads = []string{"SynchronizationData-User.Upload", "Synchronization.Read.All", "Synchronization.ReadWrite.All", "ProvisioningLog.Read.All"}
	mayReadLogs    = []string{"ProvisioningLog.Read.All", "AuditLog.Read.All", "Directory.Read.All"}
	mayReadUsers   = []string{"User.Read.All", "User.ReadWrite.All", "Directory.Read.All"}
	mayDeleteUsers = []string{"User.DeleteRestore.All", "User.ReadWrite.All"}
	mayReadAudits  = []string{"AuditLog.Read.All", "Directory.Read.All"}
	mayReadLinks   = []string{"SynchronizationMetadata.Read.All", "SynchronizationMetadata.ReadWrite.All", "Synchronization.Read.All", "Synchronization.ReadWrite.All"}
	mayWriteLinks  = []string{"SynchronizationMetadata.ReadWrite.All", "Synchronization.ReadWrite.All"}
	mayReadApps    = []string{"Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Synchronization.Read.All", "Synchronization.ReadWrite.All"}
)

// endpoint is what one method of a route does, and for whom.
type endpoint struct {
	serve func(c *call) error
	roles []string // one of them is needed; none for what any token opens
	deny  func(roles []string) *problem
}

// opens reports whether the principal may do it.
func (e endpoint) opens(p *oauth.Principal) bool { return len(e.roles) == 0 || p.Has(e.roles...) }

// route is a resource: a pattern of names and {parameters}, and its methods.
type route struct {
	pattern string
	methods map[string]endpoint
}

const jobsPattern = "/servicePrincipals/{sp}/synchronization/jobs"

// routes is everything there is. Of two that match, the first is taken.
var routes = slices.Concat([]route{
	{jobsPattern + "/{job}/bulkUpload", map[string]endpoint{"POST": {(*call).bulkUpload, mayUpload, denied}}},
	{jobsPattern + "/{job}/bulkUpload/$value", map[string]endpoint{}},
	{jobsPattern + "/{job}/uploads/{upload}", get((*call).getUpload, mayReadUploads, deniedSync)},
	{jobsPattern + "/{job}/uploads/{upload}/operations", get((*call).listOperations, mayReadUploads, deniedSync)},
	{jobsPattern + "/{job}/unreadPaths", get((*call).listUnreadPaths, mayReadUploads, deniedSync)},
	{jobsPattern, map[string]endpoint{
		"GET":  {(*call).listJobs, mayReadSync, deniedSync},
		"POST": {(*call).postJob, mayWriteSync, deniedSync},
	}},
	{jobsPattern + "/$count", get((*call).countJobs, mayReadSync, deniedSync)},
	{jobsPattern + "/validateCredentials", post((*call).validateCredentials, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}", map[string]endpoint{
		"GET":    {(*call).getJob, mayReadSync, deniedSync},
		"PATCH":  {(*call).patchJob, mayWriteSync, deniedSync},
		"DELETE": {(*call).deleteJob, mayWriteSync, deniedSync},
	}},
	{jobsPattern + "/{job}/start", post((*call).startJob, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/pause", post((*call).pauseJob, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/restart", post((*call).restartJob, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/validateCredentials", post((*call).validateCredentials, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/validateConnectivity", post((*call).lackConnectivity, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/provisionOnDemand", post((*call).provisionOnDemand, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/objectConnections", get((*call).listConnections, mayReadLinks, deniedSync)},
	{jobsPattern + "/{job}/objectConnections/{connection}", map[string]endpoint{
		"GET":    {(*call).getConnection, mayReadLinks, deniedSync},
		"PUT":    {(*call).putConnection, mayWriteLinks, deniedSync},
		"DELETE": {(*call).deleteConnection, mayWriteLinks, deniedSync},
	}},
	{jobsPattern + "/{job}/heldChanges", get((*call).listHeldChanges, mayReadSync, deniedSync)},
	{jobsPattern + "/{job}/heldChanges/approve", post((*call).approveHeldChanges, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/heldChanges/reject", post((*call).rejectHeldChanges, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/heldChanges/{place}", get((*call).getHeldChange, mayReadSync, deniedSync)},
	{jobsPattern + "/{job}/escrows", get((*call).listEscrows, mayReadSync, deniedSync)},
	{jobsPattern + "/{job}/notifications", get((*call).listNotices, mayReadSync, deniedSync)},
	{jobsPattern + "/{job}/schema", map[string]endpoint{
		"GET":    {(*call).getSchema, mayReadSync, deniedSync},
		"PUT":    {(*call).putSchema, mayWriteSync, deniedSync},
		"PATCH":  {(*call).patchSchema, mayWriteSync, deniedSync},
		"DELETE": {(*call).deleteSchema, mayWriteSync, deniedSync},
	}},
	{jobsPattern + "/{job}/schema/preview", post((*call).preview, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/schema/validate", post((*call).validateSchema, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/schema/functions", get((*call).listFunctions, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/schema/filterOperators", get((*call).listFilterOperators, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/schema/parseExpression", post((*call).parseExpression, mayWriteSync, deniedSync)},
	{jobsPattern + "/{job}/schema/directories", map[string]endpoint{
		"GET":  {(*call).listDirectories, mayReadSync, deniedSync},
		"POST": {(*call).postDirectory, mayWriteSync, deniedSync},
	}},
	{jobsPattern + "/{job}/schema/directories/{directory}", map[string]endpoint{
		"GET":    {(*call).getDirectory, mayReadSync, deniedSync},
		"PUT":    {(*call).putDirectory, mayWriteSync, deniedSync},
		"PATCH":  {(*call).patchDirectory, mayWriteSync, deniedSync},
		"DELETE": {(*call).deleteDirectory, mayWriteSync, deniedSync},
	}},
	{jobsPattern + "/{job}/schema/directories/{directory}/discover", post((*call).discover, mayDiscover, deniedSync)},
	{"/servicePrincipals", get((*call).listServicePrincipals, mayReadApps, denied)},
	{"/servicePrincipals/{sp}", get((*call).getServicePrincipal, mayReadApps, denied)},
	{"/auditLogs/provisioning", get((*call).listLogs, mayReadLogs, deniedLogs)},
	{"/auditLogs/directoryAudits", get((*call).listAudits, mayReadAudits, deniedLogs)},
	{"/auditLogs/directoryAudits/{id}", get((*call).getAudit, mayReadAudits, deniedLogs)},
	{"/auditLogs/provisioning/{id}", get((*call).getLog, mayReadLogs, deniedLogs)},
}, readingRoutes(), deletedItemsRoutes(), appRoutes("/servicePrincipals/{sp}"), appRoutes("/applications/{app}"))

// appRoutes are the routes of what belongs to an app, however it is named: its secrets and its templates.
func appRoutes(app string) []route {
	root := app + "/synchronization"
	templates := root + "/templates"
	schema := templates + "/{template}/schema"
	return []route{
		{root, get((*call).getSynchronization, mayReadSync, deniedSync)},
		{root + "/acquireAccessToken", post((*call).acquireAccessToken, mayWriteSync, deniedSync)},
		{root + "/connectivityParameters", map[string]endpoint{"PATCH": {(*call).lackConnectivity, mayWriteSync, deniedSync}}},
		{root + "/secrets", map[string]endpoint{
			"GET": {(*call).listSecrets, mayReadSync, deniedSync},
			"PUT": {(*call).putSecrets, mayWriteSync, deniedSync},
		}},
		{root + "/secrets/$count", get((*call).countSecrets, mayReadSync, deniedSync)},
		{templates, get((*call).listTemplates, mayReadSync, deniedSync)},
		{templates + "/{template}", map[string]endpoint{
			"GET":   {(*call).getTemplate, mayReadSync, deniedSync},
			"PATCH": {(*call).keepTemplate, mayWriteSync, deniedSync},
		}},
		{schema, map[string]endpoint{
			"GET":    {(*call).getSchema, mayReadSync, deniedSync},
			"PUT":    {(*call).keepTemplate, mayWriteSync, deniedSync},
			"DELETE": {(*call).restoreTemplate, mayWriteSync, deniedSync},
		}},
		{schema + "/functions", get((*call).listFunctions, mayWriteSync, deniedSync)},
		{schema + "/filterOperators", get((*call).listFilterOperators, mayWriteSync, deniedSync)},
		{schema + "/parseExpression", post((*call).parseExpression, mayWriteSync, deniedSync)},
		{schema + "/directories", get((*call).listDirectories, mayReadSync, deniedSync)},
		{schema + "/directories/{directory}", get((*call).getDirectory, mayReadSync, deniedSync)},
		{schema + "/directories/{directory}/discover", post((*call).discover, mayDiscover, deniedSync)},
	}
}

func get(serve func(*call) error, roles []string, deny func([]string) *problem) map[string]endpoint {
	return map[string]endpoint{http.MethodGet: {serve, roles, deny}}
}

func post(serve func(*call) error, roles []string, deny func([]string) *problem) map[string]endpoint {
	return map[string]endpoint{http.MethodPost: {serve, roles, deny}}
}

// match binds the segments of a path to the pattern. depth says how many segments matched before the first that did
// not.
func (rt *route) match(segments []segment) (params map[string]key, depth int, ok bool) {
	if depth, ok = rt.follow(segments, nil); !ok {
		return nil, depth, false
	}
	params = map[string]key{}
	rt.follow(segments, params)
	return params, depth, true
}

// follow goes along the pattern and notes parameters, unless params is nil. No parameter is empty.
func (rt *route) follow(segments []segment, params map[string]key) (depth int, ok bool) {
	rest := rt.pattern
	note := func(word string, k key) {
		if params != nil {
			params[word] = k
		}
	}
	for _, s := range segments {
		if rest == "" {
			return depth, false
		}
		var word string
		word, rest = nextWord(rest)
		switch {
		case word[0] == '{' && s.text != "":
			note(word, key{value: s.text})
		case word[0] == '{' || !s.is(word):
			return depth, false
		case s.key != nil:
			if word, rest = nextWord(rest); word == "" || word[0] != '{' {
				return depth, false
			}
			note(word, *s.key)
		}
		depth++
	}
	return depth, rest == ""
}

// nextWord takes the first word off a pattern such as "/users/{user}"; "" at its end.
func nextWord(pattern string) (word, rest string) {
	if pattern == "" {
		return "", ""
	}
	if i := strings.IndexByte(pattern[1:], '/'); i >= 0 {
		return pattern[1 : i+1], pattern[i+1:]
	}
	return pattern[1:], ""
}

// findRoute returns the route of a path, or the problem that names the first segment that leads nowhere.
func findRoute(segments []segment) (*route, map[string]key, error) {
	deepest := 0
	for i := range routes {
		params, depth, ok := routes[i].match(segments)
		if ok {
			return &routes[i], params, nil
		}
		deepest = max(deepest, depth)
	}
	if deepest < len(segments) {
		return nil, nil, unknownSegment(segments[deepest].text)
	}
	if len(segments) == 0 {
		return nil, nil, badRequest("Resource not found: name a resource after the version, such as /v1.0/auditLogs/provisioning.")
	}
	return nil, nil, unknownSegment(segments[len(segments)-1].text) // a container of resources, such as /auditLogs
}

// allowed lists the methods of the route.
func (rt *route) allowed() []string {
	allow := make([]string, 0, len(rt.methods))
	for m := range rt.methods {
		allow = append(allow, m)
	}
	slices.Sort(allow)
	return allow
}

// call is one request on its way.
type call struct {
	s         *server
	w         *statusWriter
	r         *http.Request
	read      *countedBody // r's body
	received  time.Time
	requestID string
	client    string // client-request-id, "" if there was none
	version   string // "v1.0" or "beta"
	path      resourcePath
	params    map[string]key
	principal *oauth.Principal
	batched   bool // it is part of a batch
	event     event
}

// clientID is what is echoed as client-request-id.
func (c *call) clientID() string {
	if c.client == "" {
		return c.requestID
	}
	return c.client
}

// serve makes the checks that all resources share, in this order: route, token, permission, method.
func (c *call) serve() error {
	escaped := c.r.URL.EscapedPath()
	if len(escaped) > mostPath {
		return &problem{status: http.StatusRequestURITooLong, code: codeBadRequest, message: "The path is too long."}
	}
	p, ok := parsePath(escaped)
	if !ok {
		return badRequest("The path is not correctly percent-encoded.")
	}
	if p.version == "" {
		return badRequest("Invalid version: the path begins with /v1.0 or /beta.")
	}
	c.path, c.version = p, p.version
	rt, params, err := findRoute(p.segments)
	if err != nil {
		return err
	}
	c.params, c.event.route = params, rt.pattern
	token, err := oauth.Bearer(c.r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	if c.principal, err = c.s.Tokens.Verify(c.r.Context(), token); err != nil {
		return err
	}
	c.event.app = c.principal.AppID.String()
	c.r = c.r.WithContext(provision.WithActor(c.r.Context(), provision.Actor{
		Kind: provision.ActorApp, ID: c.principal.ObjectID.String(), Name: c.principal.DisplayName,
	}))
	e, ok := rt.methods[c.r.Method]
	if !ok { // who may do nothing here learns no more than that
		for _, e = range rt.methods {
			if !e.opens(c.principal) {
				return e.deny(e.roles)
			}
		}
		return &problem{status: http.StatusMethodNotAllowed, code: codeRequestBadRequest, message: textMethod, allow: rt.allowed()}
	}
	if !e.opens(c.principal) {
		return e.deny(e.roles)
	}
	return e.serve(c)
}

// param is a parameter of the route that is named by its value alone.
func (c *call) param(name string) (string, error) {
	k := c.params[name]
	if k.property != "" && !strings.EqualFold(k.property, "id") {
		return "", badRequest("'%s' is not a key of this resource.", clip(k.property))
	}
	return k.value, nil
}

// ownsJob reports whether the service principal that the path names is the job's.
func (c *call) ownsJob(job *provision.Job) bool {
	k := c.params["{sp}"]
	switch strings.ToLower(k.property) {
	case "", "id":
		return strings.EqualFold(k.value, job.ServicePrincipalID.String())
	case "appid":
		return strings.EqualFold(k.value, job.ApplicationID.String())
	}
	return false
}

// job returns the job that the path names; it must be one of the service principal's.
func (c *call) job() (*provision.Job, error) {
	id, err := c.param("{job}")
	if err != nil {
		return nil, err
	}
	if p := c.params["{sp}"].property; p != "" && !strings.EqualFold(p, "id") && !strings.EqualFold(p, "appId") {
		return nil, badRequest("'%s' is not a key of servicePrincipals.", clip(p))
	}
	job, err := c.s.Service.Job(c.r.Context(), id)
	if isNotFound(err) || err == nil && !c.ownsJob(job) {
		return nil, notFound("synchronization job", id)
	}
	return job, err
}
