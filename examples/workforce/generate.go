//go:build ignore

// Generate writes workforce.csv: the HR export of Nordwind Verlag, an invented publisher. It is
// seeded, so that it writes the same file each time. Names are combinations of common names.
package main

import (
	"encoding/csv"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

const people = 1000

var header = []string{"WorkerID", "UserID", "WorkerStatus", "FirstName", "MiddleName", "LastName", "DisplayName", "WorkEmail",
	"Title", "Department", "Division", "CostCenter", "Company", "EmployeeType", "ManagerID", "WorkStreet", "City", "Region",
	"PostalCode", "Country", "WorkPhone", "MobilePhone", "Language", "HireDate"}

// Columns by name, for the flaws.
var col = func() map[string]int {
	m := map[string]int{}
	for i, h := range header {
		m[h] = i
	}
	return m
}()

// site is an office: who works there and how they write. Names are "script/ascii", or plain ASCII.
type site struct {
	weight                                        int
	city, region, postal, country, language, dial string
	streets, given, family                        []string
	familyFirst                                   string // joins family and given name when the family name comes first; "-" if not
}

func names(s string) []string { return strings.Fields(s) }

var sites = []site{
	{300, "Lübeck", "Schleswig-Holstein", "23552", "DE", "de-DE", "+49 451", []string{"Mühlenstraße 12", "Große Burgstraße 4", "An der Untertrave 81"},
		names("Jürgen/juergen Käthe/kaethe Björn/bjoern Anna Lukas Sabine Günther/guenther Sören/soeren Lena Thomas Ute Jörg/joerg Renate Felix Mareike"),
		names("Müller/mueller Schröder/schroeder Weiß/weiss Schmidt Fischer Köhler/koehler Jäger/jaeger Krüger/krueger Becker Groß/gross Hoffmann Böhm/boehm"), "-"},
	{90, "Wien", "", "1070", "AT", "de-AT", "+43 1", []string{"Lindengasse 30", "Neubaugasse 7"},
		names("Franz Leopold Elisabeth Maria Johann Theresa Matthäus/matthaeus"), names("Gruber Huber Wögerer/woegerer Steiner Moser Hölzl/hoelzl"), "-"},
	{90, "Gdańsk", "Pomorskie", "80-831", "PL", "pl-PL", "+48 58", []string{"ul. Długa 22", "ul. Świętego Ducha 5"},
		names("Łukasz/lukasz Małgorzata/malgorzata Paweł/pawel Agnieszka Zbigniew Żaneta/zaneta Michał/michal Krystyna"),
		names("Wójcik/wojcik Kowalski Dąbrowski/dabrowski Zieliński/zielinski Woźniak/wozniak Łuczak/luczak"), "-"},
	{50, "Αθήνα", "Αττική", "105 57", "GR", "el-GR", "+30 210", []string{"Ερμού 18", "Σταδίου 40"},
		names("Γιώργος/giorgos Ελένη/eleni Δημήτρης/dimitris Κατερίνα/katerina Νίκος/nikos"),
		names("Παπαδόπουλος/papadopoulos Γεωργίου/georgiou Νικολάου/nikolaou Οικονόμου/oikonomou"), "-"},
	{50, "София", "", "1000", "BG", "bg-BG", "+359 2", []string{"ул. Граф Игнатиев 9", "бул. Витоша 61"},
		names("Иван/ivan Мария/mariya Георги/georgi Елена/elena Стоян/stoyan"), names("Иванов/ivanov Димитров/dimitrov Петров/petrov Николов/nikolov"), "-"},
	{40, "القاهرة", "", "11511", "EG", "ar-EG", "+20 2", []string{"شارع طلعت حرب 14"},
		names("محمد/mohamed فاطمة/fatma أحمد/ahmed مريم/mariam يوسف/youssef"), names("حسن/hassan إبراهيم/ibrahim سالم/salem منصور/mansour"), "-"},
	{50, "上海", "上海市", "200001", "CN", "zh-CN", "+86 21", []string{"南京东路100号", "福州路7号"},
		names("伟/wei 芳/fang 秀英/xiuying 娜/na 强/qiang 静/jing"), names("王/wang 李/li 张/zhang 刘/liu 陈/chen"), ""},
	{50, "東京", "東京都", "101-0051", "JP", "ja-JP", "+81 3", []string{"千代田区神田神保町1丁目2-3"},
		names("翔太/shota 陽菜/hina 健太/kenta 美咲/misaki 大輔/daisuke"), names("佐藤/sato 鈴木/suzuki 高橋/takahashi 田中/tanaka"), " "},
	{40, "서울", "", "04524", "KR", "ko-KR", "+82 2", []string{"중구 세종대로 110"},
		names("민준/minjun 서연/seoyeon 지훈/jihun 수빈/subin"), names("김/kim 이/lee 박/park 최/choi"), ""},
	{50, "Hà Nội", "", "100000", "VN", "vi-VN", "+84 24", []string{"25 phố Tràng Tiền", "8 phố Đinh Lễ"},
		names("Hương/huong Đức/duc Thảo/thao Tuấn/tuan Ánh/anh"), names("Nguyễn/nguyen Trần/tran Phạm/pham Đặng/dang"), " "},
	{50, "İstanbul", "", "34430", "TR", "tr-TR", "+90 212", []string{"İstiklal Caddesi 55", "Bağdat Caddesi 210"},
		names("Çağla/cagla Gökhan/gokhan Ayşe/ayse Işıl/isil Mustafa"), names("Yılmaz/yilmaz Öztürk/ozturk Şahin/sahin Demir"), "-"},
	{80, "Leeds", "West Yorkshire", "LS1 4AP", "GB", "en-GB", "+44 113", []string{"12 Park Row", "3 Merrion Street"},
		names("Oliver Amelia Jack Siobhán/siobhan George Chloë/chloe Harry Zoe"), names("Smith O'Brien/obrien Taylor Wright Walker-Jones/walkerjones Evans"), "-"},
	{60, "Lyon", "Auvergne-Rhône-Alpes", "69002", "FR", "fr-FR", "+33 4", []string{"8, rue de la République", "21, rue Mercière"},
		names("François/francois Hélène/helene Jean-Luc/jeanluc Zoé/zoe Benoît/benoit Camille"), names("Lefèvre/lefevre Martin Dubois Garçon/garcon Bernard"), "-"},
}

// unit is a department; its first title is its head's.
type unit struct {
	name, division, cost string
	titles               []string
}

var units = []unit{
	{"Editorial", "Publishing", "4100", []string{"Head of Editorial", "Editor", "Senior Editor", "Copy Editor", "Editorial Assistant"}},
	{"Rights", "Publishing", "4110", []string{"Head of Rights", "Rights Manager", "Contracts Specialist"}},
	{"Production", "Publishing", "4120", []string{"Head of Production", "Typesetter", "Print Buyer", "Cover Designer"}},
	{"Sales", "Commercial", "4200", []string{"Head of Sales", "Account Manager", "Key Account Manager", "Sales Assistant"}},
	{"Marketing", "Commercial", "4210", []string{"Head of Marketing", "Campaign Manager", "Publicist"}},
	{"Logistics", "Operations", "4300", []string{"Head of Logistics", "Warehouse Clerk", "Dispatcher", "Shift Lead"}},
	{"IT", "Operations", "4310", []string{"Head of IT", "Systems Engineer", "Software Developer", "Service Desk Agent"}},
	{"Finance", "Corporate", "4400", []string{"Head of Finance", "Accountant", "Controller", "Payroll Specialist"}},
	{"People", "Corporate", "4410", []string{"Head of People", "Recruiter", "HR Business Partner"}},
}

func main() {
	r := rand.New(rand.NewPCG(1834, 2026))
	rows := workforce(r)
	flaws(r, rows)
	rows = append(rows, extra(rows)...)
	f, err := os.Create("workforce.csv")
	if err != nil {
		log.Fatal(err)
	}
	w := csv.NewWriter(f)
	w.Write(header)
	if err := w.WriteAll(rows); err != nil {
		log.Fatal(err)
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
}

// workforce returns a row per person. The heads of the units stand at random places, so that many
// managers come after their people.
func workforce(r *rand.Rand) [][]string {
	rows := make([][]string, people)
	users := map[string]int{}
	order := r.Perm(people)
	chief := order[0]
	heads := order[1 : 1+len(units)]
	leads := order[1+len(units) : 1+9*len(units)]
	for i := range rows {
		u := r.IntN(len(units))
		title, manager := units[u].titles[1+r.IntN(len(units[u].titles)-1)], leads[u*8+r.IntN(8)]
		if h := slices.Index(heads, i); h >= 0 {
			u, title, manager = h, units[h].titles[0], chief
		} else if l := slices.Index(leads, i); l >= 0 {
			u = l / 8
			title, manager = "Team Lead "+units[u].name, heads[u]
		}
		rows[i] = person(r, i, units[u], title, workerID(manager), users)
	}
	rows[chief][col["ManagerID"]] = ""
	rows[chief][col["Title"]] = "Chief Executive Officer"
	for _, i := range order[:1+9*len(units)] {
		rows[i][col["WorkerStatus"]], rows[i][col["EmployeeType"]] = "Active", "Regular"
	}
	return rows
}

func workerID(i int) string { return fmt.Sprint(100201 + 7*i) }

func person(r *rand.Rand, i int, u unit, title, manager string, users map[string]int) []string {
	s := pickSite(r)
	given, g := pick(r, s.given)
	family, f := pick(r, s.family)
	middle := ""
	if r.IntN(8) == 0 {
		if middle, _ = pick(r, s.given); middle == given {
			middle = ""
		}
	}
	user := g + "." + f
	if users[user]++; users[user] > 1 {
		user += fmt.Sprint(users[user])
	}
	display := given + " " + family
	if s.familyFirst != "-" {
		display = family + s.familyFirst + given
	}
	status := "Active"
	switch n := r.IntN(100); {
	case n < 5:
		status = "Terminated"
	case n < 9:
		status = "Leave"
	}
	kind, company := "Regular", "Nordwind Verlag"
	if r.IntN(10) == 0 {
		kind, company = "Contractor", "Seehafen Dienste"
	}
	hired := time.Date(2004, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, r.IntN(264), r.IntN(28))
	return []string{workerID(i), user, status, given, middle, family, display, user + "@nordwind.example",
		title, u.name, u.division, u.cost, company, kind, manager, s.streets[r.IntN(len(s.streets))], s.city, s.region,
		s.postal, s.country, fmt.Sprintf("%s 555 %04d", s.dial, r.IntN(10000)), fmt.Sprintf("%s 555 01%04d", strings.Fields(s.dial)[0], r.IntN(10000)),
		s.language, hired.Format(time.DateOnly)}
}

func pickSite(r *rand.Rand) site {
	n := r.IntN(1000)
	for _, s := range sites {
		if n -= s.weight; n < 0 {
			return s
		}
	}
	return sites[0]
}

// pick returns a name and its lower-case ASCII form.
func pick(r *rand.Rand, list []string) (name, ascii string) {
	name, ascii, ok := strings.Cut(list[r.IntN(len(list))], "/")
	if !ok {
		ascii = strings.ToLower(name)
	}
	return name, ascii
}

// flaws takes from the rows what an HR system would not know, and adds its mistakes.
func flaws(r *rand.Rand, rows [][]string) {
	for _, name := range []string{"CostCenter", "Division", "WorkStreet", "PostalCode", "WorkPhone", "MobilePhone", "Language", "Title", "HireDate"} {
		for _, row := range rows {
			if r.IntN(100) < 13 {
				row[col[name]] = ""
			}
		}
	}
	rows[411][col["UserID"]] = rows[97][col["UserID"]] // two people want one user name
	rows[411][col["WorkEmail"]] = rows[97][col["WorkEmail"]]
	rows[523][col["ManagerID"]] = "999999" // nobody has this id
	rows[640][col["WorkerID"]] = ""
	rows[200][col["WorkStreet"]] = "Haus \"Seestern\", 2. Stock\nMühlenstraße 12" // quotes and a line break
}

// extra returns second rows of some people, with a newer title.
func extra(rows [][]string) [][]string {
	var list [][]string
	for _, i := range []int{12, 160, 305, 488, 702, 951} {
		again := slices.Clone(rows[i])
		again[col["Title"]] = "Senior " + strings.TrimPrefix(again[col["Title"]], "Senior ")
		if again[col["Title"]] == "Senior " {
			again[col["Title"]] = "Senior Specialist"
		}
		list = append(list, again)
	}
	return list
}
