package graph

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"induct/internal/oauth"
	"induct/internal/provision"
)

// endpoint is what one method of a route does, and for whom.
type endpoint struct {
	serve  func(c *call) error
	access access
}

// route is a resource: a pattern of names and {parameters}, and its methods.
type route struct {
	pattern string
	methods map[string]endpoint
}

const jobsPattern = "/servicePrincipals/{sp}/synchronization/jobs"

// routes is everything there is. Of two that match, the first is taken.
var routes = slices.Concat([]route{
	{jobsPattern + "/{job}/bulkUpload", map[string]endpoint{"POST": {(*call).bulkUpload, mayUpload}}},
	{jobsPattern + "/{job}/bulkUpload/$value", map[string]endpoint{}},
	{jobsPattern + "/{job}/uploads/{upload}", get((*call).getUpload, mayReadUploads)},
	{jobsPattern + "/{job}/uploads/{upload}/operations", get((*call).listOperations, mayReadUploads)},
	{jobsPattern + "/{job}/unreadPaths", get((*call).listUnreadPaths, mayReadUploads)},
	{jobsPattern, map[string]endpoint{
		"GET":  {(*call).listJobs, mayReadSync},
		"POST": {(*call).postJob, mayWriteSync},
	}},
	{jobsPattern + "/$count", get((*call).countJobs, mayReadSync)},
	{jobsPattern + "/validateCredentials", post((*call).validateCredentials, mayWriteSync)},
	{jobsPattern + "/{job}", map[string]endpoint{
		"GET":    {(*call).getJob, mayReadSync},
		"PATCH":  {(*call).patchJob, mayPatchJobs},
		"DELETE": {(*call).deleteJob, mayWriteSync},
	}},
	{jobsPattern + "/{job}/start", post((*call).startJob, mayWriteSync)},
	{jobsPattern + "/{job}/pause", post((*call).pauseJob, mayWriteSync)},
	{jobsPattern + "/{job}/restart", post((*call).restartJob, mayWriteSync)},
	{jobsPattern + "/{job}/validateCredentials", post((*call).validateCredentials, mayWriteSync)},
	{jobsPattern + "/{job}/validateConnectivity", post((*call).lackConnectivity, mayWriteSync)},
	{jobsPattern + "/{job}/provisionOnDemand", post((*call).provisionOnDemand, mayWriteSync)},
	{jobsPattern + "/{job}/objectConnections", get((*call).listConnections, mayReadLinks)},
	{jobsPattern + "/{job}/objectConnections/{connection}", map[string]endpoint{
		"GET":    {(*call).getConnection, mayReadLinks},
		"PUT":    {(*call).putConnection, mayWriteLinks},
		"DELETE": {(*call).deleteConnection, mayWriteLinks},
	}},
	{jobsPattern + "/{job}/heldChanges", get((*call).listHeldChanges, mayReadSync)},
	{jobsPattern + "/{job}/heldChanges/approve", post((*call).approveHeldChanges, mayWriteSync)},
	{jobsPattern + "/{job}/heldChanges/reject", post((*call).rejectHeldChanges, mayWriteSync)},
	{jobsPattern + "/{job}/heldChanges/{place}", get((*call).getHeldChange, mayReadSync)},
	{jobsPattern + "/{job}/escrows", get((*call).listEscrows, mayReadSync)},
	{jobsPattern + "/{job}/notifications", get((*call).listNotices, mayReadSync)},
	{jobsPattern + "/{job}/schema", map[string]endpoint{
		"GET":    {(*call).getSchema, mayReadSync},
		"PUT":    {(*call).putSchema, mayWriteSync},
		"PATCH":  {(*call).patchSchema, mayWriteSync},
		"DELETE": {(*call).deleteSchema, mayWriteSync},
	}},
	{jobsPattern + "/{job}/schema/preview", post((*call).preview, mayWriteSync)},
	{jobsPattern + "/{job}/schema/validate", post((*call).validateSchema, mayWriteSync)},
	{jobsPattern + "/{job}/schema/functions", get((*call).listFunctions, mayWriteSync)},
	{jobsPattern + "/{job}/schema/filterOperators", get((*call).listFilterOperators, mayWriteSync)},
	{jobsPattern + "/{job}/schema/parseExpression", post((*call).parseExpression, mayWriteSync)},
	{jobsPattern + "/{job}/schema/directories", map[string]endpoint{
		"GET":  {(*call).listDirectories, mayReadSync},
		"POST": {(*call).postDirectory, mayWriteSync},
	}},
	{jobsPattern + "/{job}/schema/directories/{directory}", map[string]endpoint{
		"GET":    {(*call).getDirectory, mayReadSync},
		"PUT":    {(*call).putDirectory, mayWriteSync},
		"PATCH":  {(*call).patchDirectory, mayWriteSync},
		"DELETE": {(*call).deleteDirectory, mayWriteSync},
	}},
	{jobsPattern + "/{job}/schema/directories/{directory}/discover", post((*call).discover, mayDiscover)},
	{"/auditLogs/provisioning", get((*call).listLogs, mayReadLogs)},
	{"/auditLogs/directoryAudits", get((*call).listAudits, mayReadAudits)},
	{"/auditLogs/directoryAudits/{id}", get((*call).getAudit, mayReadAudits)},
	{"/auditLogs/provisioning/{id}", get((*call).getLog, mayReadLogs)},
	{"/induct/retention", get((*call).listRetention, mayReadLogs)},
}, deletedItemsRoutes(), registrationRoutes(), readingRoutes(), appRoutes("/servicePrincipals/{sp}"), appRoutes("/applications/{app}"))

// appRoutes are the routes of what belongs to an app, however it is named: its secrets and its templates.
func appRoutes(app string) []route {
	root := app + "/synchronization"
	templates := root + "/templates"
	schema := templates + "/{template}/schema"
	return []route{
		{root, get((*call).getSynchronization, mayReadSync)},
		{root + "/acquireAccessToken", post((*call).acquireAccessToken, mayWriteSync)},
		{root + "/connectivityParameters", map[string]endpoint{"PATCH": {(*call).lackConnectivity, mayWriteSync}}},
		{root + "/secrets", map[string]endpoint{
			"GET": {(*call).listSecrets, mayReadSync},
			"PUT": {(*call).putSecrets, mayWriteSync},
		}},
		{root + "/secrets/$count", get((*call).countSecrets, mayReadSync)},
		{templates, get((*call).listTemplates, mayReadSync)},
		{templates + "/{template}", map[string]endpoint{
			"GET":   {(*call).getTemplate, mayReadSync},
			"PATCH": {(*call).keepTemplate, mayWriteSync},
		}},
		{schema, map[string]endpoint{
			"GET":    {(*call).getSchema, mayReadSync},
			"PUT":    {(*call).keepTemplate, mayWriteSync},
			"DELETE": {(*call).restoreTemplate, mayWriteSync},
		}},
		{schema + "/functions", get((*call).listFunctions, mayWriteSync)},
		{schema + "/filterOperators", get((*call).listFilterOperators, mayWriteSync)},
		{schema + "/parseExpression", post((*call).parseExpression, mayWriteSync)},
		{schema + "/directories", get((*call).listDirectories, mayReadSync)},
		{schema + "/directories/{directory}", get((*call).getDirectory, mayReadSync)},
		{schema + "/directories/{directory}/discover", post((*call).discover, mayDiscover)},
	}
}

func get(serve func(*call) error, a access) map[string]endpoint {
	return map[string]endpoint{http.MethodGet: {serve, a}}
}

func post(serve func(*call) error, a access) map[string]endpoint {
	return map[string]endpoint{http.MethodPost: {serve, a}}
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
	limited   bool // the principal may do this to what it owns only
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
	c.r = c.r.WithContext(provision.WithActor(c.r.Context(), actor(c.principal)))
	e, ok := rt.methods[c.r.Method]
	if !ok {
		return c.refuseMethod(rt)
	}
	if err := c.authorize(&e.access); err != nil {
		return err
	}
	return e.serve(c)
}

// refuseMethod refuses a method that the route has not. Who may use none of those that it has learns no more than that.
func (c *call) refuseMethod(rt *route) error {
	var denied error
	for _, m := range rt.allowed() {
		e := rt.methods[m]
		if denied = c.authorize(&e.access); denied == nil {
			break
		}
	}
	if denied != nil {
		return denied
	}
	return &problem{status: http.StatusMethodNotAllowed, code: codeRequestBadRequest, message: textMethod, allow: rt.allowed()}
}

// actor is in whose name a principal acts: a person's, or the app's own.
func actor(p *oauth.Principal) provision.Actor {
	if p.User {
		return provision.Actor{Kind: provision.ActorUser, ID: p.ObjectID.String(), Name: p.UPN}
	}
	return provision.Actor{Kind: provision.ActorApp, ID: p.ObjectID.String(), Name: p.DisplayName}
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

// job returns the job that the path names, with what any process has changed of it; it must be one of the service principal's.
func (c *call) job() (*provision.Job, error) {
	if err := c.s.Service.Refresh(c.r.Context()); err != nil {
		return nil, err
	}
	return c.knownJob()
}

// knownJob is job as this process knows it, for those who come often and need no more than what it is.
func (c *call) knownJob() (*provision.Job, error) {
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
