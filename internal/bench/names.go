package bench

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// name is a given or family name, and how it is written in a mail address.
type name struct{ native, ascii string }

// script holds the names that people who share a script are made of.
type script struct {
	weight        int // people of each 1,000
	given, family []name
	familyFirst   bool
	joint         string // between the two names when shown
	languages     []string
}

// place is where somebody works.
type place struct{ street, city, region, country, dial, zone string }

// vocabulary is what people are made of. It does not change.
type vocabulary struct {
	scripts []script
	places  []place
	titles  []string
	units   []string
	firms   []string
}

// names reads words such as `Zoë` or `Анна/anna`; what follows the slash is the form in a mail address.
func names(words string) []name {
	var list []name
	for _, w := range strings.Fields(words) {
		native, ascii, given := strings.Cut(w, "/")
		if !given {
			ascii = latinASCII(native)
		}
		list = append(list, name{native, ascii})
	}
	return list
}

// latinASCII writes a Latin name in lower-case ASCII letters: marks go, letters without a base are spelt out.
func latinASCII(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(s)) {
		switch r {
		case 'ß':
			b.WriteString("ss")
		case 'æ':
			b.WriteString("ae")
		case 'ø':
			b.WriteByte('o')
		case 'ł':
			b.WriteByte('l')
		case 'đ', 'ð':
			b.WriteByte('d')
		case 'ı':
			b.WriteByte('i')
		default:
			if r < unicode.MaxASCII && unicode.IsLetter(r) {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// words are the vocabulary of every workforce. The names are common ones of their languages, freely combined.
var words = sync.OnceValue(func() *vocabulary {
	return &vocabulary{
		scripts: []script{
			{730, names(`Ada Agnès Aleksandra Alícia Álvaro Amélie Anaïs Anders André Andrzej Anna Anton Antónia Ariane Arnaud Astrid Aurélie Ayşe
				Bartosz Beatriz Benoît Birgit Björn Bożena Branko Camille Carlos Cécile Célia Chloé Christoph Ciarán Clémence Daan Dagmar Dániel Darko
				Deniz Diego Dörte Dóra Eero Eilidh Elif Élise Elodie Emil Emre Enrico Eszter Fabián Federica Filip Florence François Freya Friedrich
				Gábor Gaëlle Giulia Gökhan Görel Grzegorz Guðrún Gustav Håkan Hanna Heikki Hélène Henrik Hugo Ines Ingrid Iñaki Ismael István Jakob
				Jana João Johanna Jordi José Jørgen Júlia Jürgen Kaja Karin Katarzyna Kemal Kristīne Krzysztof Lara László Léa Leevi Linnéa Lotte Lucía
				Łukasz Magdalena Maja Małgorzata Marc Mária Márton Mathilde Matteo Maxime Mehmet Mélanie Mette Michał Mihai Milica Mirjam Nadia Nicolò
				Noémie Nuria Øyvind Ólafur Oliver Olga Ömer Oriol Paula Paweł Pedro Péter Petra Piotr Raúl Renée Ricardo Róisín Rosalía Ruben Saara
				Sébastien Selin Siân Simão Slavko Sofía Søren Stanisław Stefania Stéphane Şule Susanne Tadeáš Tamás Tereza Théo Tiago Tomáš Törbjörn
				Ulrike Ümit Václav Valérie Veronika Viktória Vít Wiebke Wojciech Xavier Yannick Yasemin Zlata Zoë Zsófia Žaneta Željko`),
				names(`Aalto Ågren Ahlström Albrecht Almeida Andersen Antić Aguilar Bąk Balogh Barański Baumgärtner Bélanger Bengtsson Bernard Bianchi
				Björklund Błaszczyk Böhm Bondevik Bouchard Brânză Brandt Bürger Byström Cabrera Çelik Černý Chevalier Colombo Córdoba Costa Cruz Czajka
				Dąbrowski D'Amico Delacroix Demir Doğan Dörfler Drăgan Dubois Dvořák Eklund Erdoğdu Eriksen Escobar Fabre Faßbender Fernández Ferrari
				Fiala Fischbach Fitzgerald Fortuné Fröhlich Gallo García Gärtner Gauthier Głowacki Gómez Gonçalves González Grünwald Guðmundsdóttir
				Gustafsson Gutiérrez Halvorsen Håkansson Hämäläinen Haugen Hernández Höfler Horák Horváth Hübner Ibáñez Iglesias Ilves Jääskeläinen
				Jäger Jakobsen Jankowski Järvinen Jiménez Jónsdóttir Jørgensen Kaczmarek Kaya Kılıç Király Kjær Koçak Köhler Korhonen Kovačević Kovács
				Kowalczyk Krämer Křížek Kühn Kurt Kuusisto Lachapelle Lambert Larsson Lefèvre Leroy Lindqvist Löffler Lombardi López Lundström Łuczak
				Maçedo Mägi Malý Marchetti Martínez Mäkinen Méndez Michaud Mikkelsen Molnár Morandi Moreau Müller Muñoz Nagy Navrátil Németh Neves
				Nguyễn Niemelä Novák Núñez Nyström O'Brien Ødegård Öberg Olsen Ólafsdóttir Ortiz Öztürk Pálsson Papp Paşa Pawlak Peña Perrin Petrović
				Piątek Poirier Popović Procházka Quintero Raab Räsänen Rácz Reichardt Ribeiro Ríos Rodríguez Rossi Rousseau Różański Růžička Sánchez
				Santoro Šarić Schäfer Schröter Sępek Şahin Silvestri Šimek Sjöberg Škoda Sławiński Sørensen Sousa Staněk Strömberg Süß Svoboda Szabó
				Szczepański Takács Teixeira Thörn Tóth Tremblay Turunen Tüfekçi Ünal Urbánek Uusitalo Väisänen Vasquez Vávra Verhoeven Vidal Villeneuve
				Vögele Vondráček Wäber Weiß Wiśniewski Wójcik Würth Yıldız Zając Zapatero Zeman Zieliński Žukauskas Županić`),
				false, " ", []string{"de-DE", "fr-FR", "sv-SE", "it-IT", "es-ES", "pl-PL", "cs-CZ", "tr-TR", "en-GB", "pt-PT"}},
			{80, names(`Анна/anna Борис/boris Вера/vera Глеб/gleb Дарья/darya Егор/egor Елена/elena Иван/ivan Игорь/igor Инна/inna Кирилл/kirill
				Лариса/larisa Максим/maksim Марина/marina Никита/nikita Оксана/oksana Олег/oleg Павел/pavel Роман/roman Светлана/svetlana Тарас/taras
				Ульяна/ulyana Фёдор/fedor Юлия/yulia Яна/yana Ђорђе/djordje Љиљана/ljiljana Ївга/yivha Цветан/tsvetan`),
				names(`Абрамов/abramov Бондаренко/bondarenko Васильева/vasileva Голубев/golubev Данилюк/danylyuk Жуков/zhukov Захарченко/zakharchenko
				Исаев/isaev Коваленко/kovalenko Лебедева/lebedeva Мельник/melnyk Николов/nikolov Орлов/orlov Петренко/petrenko Романюк/romaniuk
				Соколов/sokolov Тимошук/tymoshuk Ушакова/ushakova Фролов/frolov Харитонов/kharitonov Цветкова/tsvetkova Чернов/chernov
				Шевчук/shevchuk Щербак/shcherbak Юрьев/yurev Яковенко/yakovenko`),
				false, " ", []string{"uk-UA", "bg-BG", "sr-RS"}},
			{40, names(`Αθηνά/athina Βασίλης/vasilis Γιώργος/giorgos Δήμητρα/dimitra Ελένη/eleni Ζωή/zoi Ηλίας/ilias Θάλεια/thalia Ιωάννα/ioanna
				Κώστας/kostas Λουκία/loukia Μάριος/marios Νεφέλη/nefeli Ξένια/xenia Όλγα/olga Πέτρος/petros Σοφία/sofia Τάσος/tasos Φωτεινή/foteini`),
				names(`Αλεξίου/alexiou Βλάχος/vlachos Γεωργίου/georgiou Δημητρίου/dimitriou Ευαγγέλου/evangelou Ζαχαρίου/zachariou Θεοδώρου/theodorou
				Ιωάννου/ioannou Καραγιάννης/karagiannis Λάμπρου/lamprou Μακρής/makris Νικολάου/nikolaou Παπαδάκης/papadakis Ρήγας/rigas
				Σταύρου/stavrou Τσάκας/tsakas Φωτίου/fotiou Χατζής/chatzis`),
				false, " ", []string{"el-GR"}},
			{50, names(`葵/aoi 陽菜/hina 蓮/ren 結衣/yui 悠真/yuma 美咲/misaki 大輝/daiki さくら/sakura 翔太/shota 千尋/chihiro 健/ken 真由美/mayumi 直樹/naoki
				菜々子/nanako 亮/ryo 智子/tomoko 優斗/yuto 恵/megumi 誠/makoto 香織/kaori`),
				names(`佐藤/sato 鈴木/suzuki 高橋/takahashi 田中/tanaka 伊藤/ito 渡辺/watanabe 山本/yamamoto 中村/nakamura 小林/kobayashi 加藤/kato 吉田/yoshida
				山田/yamada 佐々木/sasaki 松本/matsumoto 井上/inoue 木村/kimura 清水/shimizu 斎藤/saito 森/mori 池田/ikeda 橋本/hashimoto 石川/ishikawa`),
				true, " ", []string{"ja-JP"}},
			{50, names(`伟/wei 芳/fang 娜/na 敏/min 静/jing 丽/li 强/qiang 磊/lei 洋/yang 艳/yan 勇/yong 杰/jie 娟/juan 涛/tao 明/ming 超/chao 秀英/xiuying
				建国/jianguo 晓红/xiaohong 子涵/zihan 雨桐/yutong 浩然/haoran 思远/siyuan`),
				names(`王/wang 李/li 张/zhang 刘/liu 陈/chen 杨/yang 赵/zhao 黄/huang 周/zhou 吴/wu 徐/xu 孙/sun 胡/hu 朱/zhu 高/gao 林/lin 何/he 郭/guo 马/ma
				罗/luo 梁/liang 宋/song 郑/zheng 欧阳/ouyang 司马/sima`),
				true, "", []string{"zh-CN", "zh-TW"}},
			{20, names(`민준/minjun 서연/seoyeon 지훈/jihun 하은/haeun 도윤/doyun 지우/jiu 현우/hyeonu 수빈/subin 예준/yejun 은지/eunji 태현/taehyeon 유진/yujin`),
				names(`김/kim 이/yi 박/bak 최/choe 정/jeong 강/gang 조/jo 윤/yun 장/jang 임/im 한/han 오/o 서/seo 신/sin 황보/hwangbo`),
				true, "", []string{"ko-KR"}},
			{20, names(`أحمد/ahmad فاطمة/fatima محمود/mahmud ليلى/layla يوسف/yusuf مريم/maryam خالد/khalid نور/nur سارة/sara عمر/umar هدى/huda طارق/tariq زينب/zaynab`),
				names(`الحداد/alhaddad النجار/alnajjar الخطيب/alkhatib منصور/mansur سليمان/sulayman الشامي/alshami بكري/bakri حسين/husayn قاسم/qasim
				الراوي/alrawi صالح/salih درويش/darwish`),
				false, " ", []string{"ar-EG", "ar-JO"}},
			{10, names(`आरव/aarav अनन्या/ananya दीपक/deepak काव्या/kavya मोहन/mohan नेहा/neha प्रिया/priya राजेश/rajesh सुनीता/sunita विक्रम/vikram`),
				names(`अग्रवाल/agrawal चौहान/chauhan गुप्ता/gupta जोशी/joshi मिश्रा/mishra नायर/nair पटेल/patel राव/rao शर्मा/sharma वर्मा/varma`),
				false, " ", []string{"hi-IN"}},
		},
		places: []place{
			{"Hafenstraße", "Lübeck", "Schleswig-Holstein", "DE", "+49 451", "Europe/Berlin"}, {"Große Bleichen", "Köln", "Nordrhein-Westfalen", "DE", "+49 221", "Europe/Berlin"},
			{"Rue de la Paix", "Lyon", "Auvergne-Rhône-Alpes", "FR", "+33 4", "Europe/Paris"}, {"Kungsgatan", "Göteborg", "Västra Götaland", "SE", "+46 31", "Europe/Stockholm"},
			{"Via Roma", "Torino", "Piemonte", "IT", "+39 011", "Europe/Rome"}, {"Calle Mayor", "Sevilla", "Andalucía", "ES", "+34 954", "Europe/Madrid"},
			{"Hauptplatz", "Graz", "Steiermark", "AT", "+43 316", "Europe/Vienna"}, {"Nowy Świat", "Łódź", "Łódzkie", "PL", "+48 42", "Europe/Warsaw"},
			{"Harbour Road", "Bristol", "England", "GB", "+44 117", "Europe/London"}, {"Náměstí Míru", "Brno", "Jihomoravský kraj", "CZ", "+420 5", "Europe/Prague"},
			{"İstiklal Caddesi", "İzmir", "İzmir", "TR", "+90 232", "Europe/Istanbul"}, {"Οδός Ερμού", "Θεσσαλονίκη", "Κεντρική Μακεδονία", "GR", "+30 231", "Europe/Athens"},
			{"вулиця Соборна", "Львів", "Львівська область", "UA", "+380 32", "Europe/Kyiv"}, {"本町", "大阪市", "大阪府", "JP", "+81 6", "Asia/Tokyo"},
			{"中山路", "南京市", "江苏省", "CN", "+86 25", "Asia/Shanghai"}, {"شارع النيل", "القاهرة", "القاهرة", "EG", "+20 2", "Africa/Cairo"},
		},
		titles: strings.Split("Engineer,Senior Engineer,Baker,Nurse,Accountant,Sales Manager,Driver,Clerk,Head of Logistics,Intern,Datenschutzbeauftragte,"+
			"Chargé d’affaires,Técnico de mantenimiento,Kierownik zmiany,Kundenberater,Fork-lift operator,Payroll specialist,Quality inspector,営業部長,工程师,Бухгалтер", ","),
		units: strings.Split("Research,Sales,Logistics,Finance,Production,People,Legal,IT Operations,Qualitätssicherung,Achats,Marketing,Customer Service,Facilities,"+
			"Corporate Communications,Rail Freight,Cold Chain", ","),
		firms: []string{"Nordwind GmbH", "Nordwind Polska sp. z o.o.", "Nordwind Iberia, S.L.", "ノルトヴィント株式会社"},
	}
})
