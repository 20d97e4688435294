package graph

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"induct/internal/provision"
)

// Bounds of the settings that mean nothing here and are kept for the client.
const (
	mostSettings     = 100
	mostSettingName  = 128
	mostSettingValue = 4096
)

// mostQueueRecords bounds InductQueueRecords.
const mostQueueRecords = 1_000_000_000

// nameValue is Graph's keyValuePair.
type nameValue struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

// jobSetting is a synchronizationJobSetting that means something here.
type jobSetting struct {
	name    string
	allowed string                                // what a value may be, for the error
	show    func(s *provision.JobSettings) string // "": it is not set and is not shown
	set     func(s *provision.JobSettings, value string) bool
}

// jobSettings are Graph's and our own, in the order in which they are shown. "" sets each to its default.
var jobSettings = []jobSetting{
	{"QuarantineTooManyDeletesThreshold", "a whole number of disables and deletions, None for no limit, or -1 for the default", showThreshold, setThreshold},
	{"InductTooManyDeletesPercent", "a number from 0, which is no limit, to 100", showPercent, setPercent},
	{"InductOutOfScopeAction", "Disable, Delete or None",
		func(s *provision.JobSettings) string {
			return orDefault(string(s.Leave), string(provision.LeaveDisable))
		}, setLeave},
	{"InductRunWithoutNotificationMail", "True or False",
		func(s *provision.JobSettings) string { return capital(strconv.FormatBool(s.RunWithoutMail)) },
		func(s *provision.JobSettings, v string) bool { return setChoice(&s.RunWithoutMail, v, "False", "True") }},
	{"InductMissingActive", "Keep or Disable",
		func(s *provision.JobSettings) string {
			return map[bool]string{false: "Keep", true: "Disable"}[s.DisableMissing]
		},
		func(s *provision.JobSettings, v string) bool {
			return setChoice(&s.DisableMissing, v, "Keep", "Disable")
		}},
	{"InductQueueRecords", "a whole number from 0, which is the service's default, to 1000000000",
		func(s *provision.JobSettings) string { return strconv.FormatInt(s.QueueRecords, 10) }, setQueueRecords},
}

// usualSettings are those that the reference shows of every new job. They mean nothing here.
var usualSettings = []provision.KeyValue{{Key: "AzureIngestionAttributeOptimization", Value: "False"}, {Key: "LookaheadQueryEnabled", Value: "False"}}

// settingObjects are the job's synchronizationJobSettings: the usual ones, those that mean something, and what a client
// has put besides.
func settingObjects(s *provision.JobSettings) []object {
	all := []object{}
	add := func(name, value string) { all = append(all, object{{"name", name}, {"value", value}}) }
	for _, u := range usualSettings {
		if indexSetting(s.Other, u.Key) < 0 {
			add(u.Key, u.Value)
		}
	}
	for i := range jobSettings {
		if v := jobSettings[i].show(s); v != "" {
			add(jobSettings[i].name, v)
		}
	}
	for _, o := range s.Other {
		add(o.Key, o.Value)
	}
	return all
}

// mergeSettings returns s with the settings that are sent; changed is false if they are so already.
func mergeSettings(s provision.JobSettings, sent []nameValue) (merged provision.JobSettings, changed bool, err error) {
	s.Other = slices.Clone(s.Other)
	seen := map[string]bool{}
	for _, nv := range sent {
		name := strings.ToLower(nv.Name)
		if seen[name] {
			return s, false, badRequest("The setting '%s' is given twice.", clip(nv.Name))
		}
		seen[name] = true
		set := setOther
		if i := slices.IndexFunc(jobSettings, func(k jobSetting) bool { return strings.EqualFold(k.name, nv.Name) }); i >= 0 {
			set = jobSettings[i].apply
		}
		did, err := set(&s, nv)
		if err != nil {
			return s, false, err
		}
		changed = changed || did
	}
	return s, changed, nil
}

// apply sets a setting that means something; a value that it shows already changes nothing.
func (k *jobSetting) apply(s *provision.JobSettings, nv nameValue) (changed bool, err error) {
	value := ""
	if nv.Value != nil {
		value = strings.TrimSpace(*nv.Value)
	}
	before := k.show(s)
	if value != "" && value == before {
		return false, nil
	}
	if len(value) > mostSettingValue || !k.set(s, value) {
		return false, badRequest("The setting %s has the value '%s': it is %s.", k.name, clip(value), k.allowed)
	}
	return k.show(s) != before, nil
}

// setOther keeps a setting that means nothing here; a value that is null removes it.
func setOther(s *provision.JobSettings, nv nameValue) (changed bool, err error) {
	switch {
	case nv.Name == "":
		return false, badRequest("A setting has no name: each of synchronizationJobSettings has a name and a value.")
	case len(nv.Name) > mostSettingName:
		return false, badRequest("The name of the setting '%s' has %d bytes: at most %d are kept.", clip(nv.Name), len(nv.Name), mostSettingName)
	case nv.Value != nil && len(*nv.Value) > mostSettingValue:
		return false, badRequest("The value of the setting '%s' has %d bytes: at most %d are kept.", clip(nv.Name), len(*nv.Value), mostSettingValue)
	}
	at := indexSetting(s.Other, nv.Name)
	switch {
	case nv.Value == nil && at < 0:
		return false, nil
	case nv.Value == nil:
		s.Other = slices.Delete(s.Other, at, at+1)
	case at >= 0 && s.Other[at].Value == *nv.Value, at < 0 && slices.Contains(usualSettings, provision.KeyValue{Key: nv.Name, Value: *nv.Value}):
		return false, nil
	case at >= 0:
		s.Other[at].Value = *nv.Value
	case len(s.Other) >= mostSettings:
		return false, badRequest("The job has %d settings that mean nothing here, and no more of them are kept: remove some by sending null.", mostSettings)
	default:
		s.Other = append(s.Other, provision.KeyValue{Key: nv.Name, Value: *nv.Value})
	}
	return true, nil
}

func indexSetting(of []provision.KeyValue, name string) int {
	return slices.IndexFunc(of, func(o provision.KeyValue) bool { return strings.EqualFold(o.Key, name) })
}

// noLimit is the value of QuarantineTooManyDeletesThreshold under which everything passes.
const noLimit = "None"

func showThreshold(s *provision.JobSettings) string {
	switch {
	case s.DeleteThreshold == nil:
		return ""
	case *s.DeleteThreshold < 0:
		return noLimit
	}
	return strconv.FormatInt(*s.DeleteThreshold, 10)
}

func setThreshold(s *provision.JobSettings, value string) bool {
	switch {
	case value == "" || value == "-1":
		s.DeleteThreshold = nil
		return true
	case strings.EqualFold(value, noLimit):
		most := int64(-1)
		s.DeleteThreshold = &most
		return true
	}
	n, ok := wholeNumber(value, math.MaxInt32)
	if ok {
		s.DeleteThreshold = &n
	}
	return ok
}

func showPercent(s *provision.JobSettings) string {
	return strconv.FormatFloat(s.DeletePercent, 'f', -1, 64)
}

func setPercent(s *provision.JobSettings, value string) bool {
	if value == "" {
		value = "0"
	}
	p, err := strconv.ParseFloat(value, 64)
	if err != nil || strings.Trim(value, "0123456789.") != "" || p > 100 {
		return false
	}
	s.DeletePercent = p
	return true
}

func setLeave(s *provision.JobSettings, value string) bool {
	for _, a := range []provision.LeaveAction{provision.LeaveDisable, provision.LeaveDelete, provision.LeaveAlone} {
		if strings.EqualFold(value, string(a)) {
			s.Leave = a
			return true
		}
	}
	if value == "" {
		s.Leave = ""
	}
	return value == ""
}

// setChoice sets a switch by the words for off and on, in any case.
func setChoice(to *bool, value, off, on string) bool {
	*to = strings.EqualFold(value, on)
	return *to || value == "" || strings.EqualFold(value, off)
}

func setQueueRecords(s *provision.JobSettings, value string) bool {
	if value == "" {
		value = "0"
	}
	n, ok := wholeNumber(value, mostQueueRecords)
	if ok {
		s.QueueRecords = n
	}
	return ok
}

// wholeNumber reads decimal digits alone.
func wholeNumber(value string, most int64) (int64, bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	return n, err == nil && strings.Trim(value, "0123456789") == "" && n <= most
}
