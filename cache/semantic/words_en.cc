// English words that are not content, numbers, units and dates. Written by hand for this project.
// Formats: see word_lists.h.
#include "cache/semantic/word_lists.h"

namespace nextgate::cache {

// role words…
const std::string_view kRolesEnglish = R"(
function a an the this that these those there here
function am is are was were be been being do does did done doing has have had having
function will shall would can could may might must should ought
function i me my mine myself we us our ours you your yours yourself he him his she her hers they them their theirs
function it its itself one ones someone somebody anyone anybody something anything thing things
function and or but so then if because as than
function of for to from in on at by with about into onto upon via per regarding concerning
function what which who whom whose when where why how whether
function some any such own much
function s t d m re ve ll let lets
function gonna wanna gotta
function it's
filler please pls plz kindly thanks thank thx hi hello hey dear sir sorry excuse ok okay well oh um yo yes
light tell want wants wanted like need needs know wondering wonder wish think love
filler just actually really very quite simply basically still yet already even too also
filler able possible way ways
light looking look trying try tried give given see seeing show showing shown shows say says check
filler seems seem seemed appears figure
filler explain describe inform assist assistance guide advise idea believe sure supposed
filler now currently presently recently though else ahead exactly anyway asap thing things happened happening happen noticed
filler information info details reason process procedure steps step amount total certain specific particular
filler type types sort sorts kind kinds
light required require requires needed needing
filler usually generally exact guidance immediately definitely basically many count currently mind aloud items item
light provide provided attempt attempted attempting
filler aware current
function while cuz coz cause bc w r
light help helps go goes going make makes making take takes taking put puts putting find finding use uses using set setting through get got gets getting gotten
light receive receives received receiving obtain obtaining located expect expected
negator not no never none nobody nothing nowhere neither nor without cannot aint hardly barely scarcely seldom rarely
negator unable lack lacks lacking except unless avoid
)";

// class words…: the names are those of Closed, read in word_tables.cc.
const std::string_view kClosedEnglish = R"(
first i me my mine myself we us our ours
second you your yours yourself
he he him his
she she her hers
they they them their theirs
past was were did had
present is are am do does
future will shall gonna
may can may could might
must must should ought
who who whom whose
when when
where where
why why
how how
what what
which which
from from
to to into onto
than than
by by via
hard against versus vs minus over under without before after until since between per as like
other of for in on at with about regarding concerning upon if when because while during through
)";

// value words…
const std::string_view kNumbersEnglish = R"(
0 zero nil
2 two twice double couple pair
3 three triple thrice
4 four
5 five
6 six
7 seven
8 eight
9 nine
10 ten
11 eleven
12 twelve dozen
13 thirteen
14 fourteen
15 fifteen
16 sixteen
17 seventeen
18 eighteen
19 nineteen
20 twenty
30 thirty
40 forty fourty
50 fifty
60 sixty
70 seventy
80 eighty
90 ninety
0.5 half
0.25 quarter
#1 first 1st
#2 second 2nd secondly
#3 third 3rd
#4 fourth 4th
#5 fifth 5th
#6 sixth 6th
#7 seventh 7th
#8 eighth 8th
#9 ninth 9th
#10 tenth 10th
)";

const std::string_view kFactorsEnglish = R"(
100 hundred hundreds
1000 thousand thousands grand
1000000 million millions
1000000000 billion billions
1000000000000 trillion trillions
)";

// code words…
const std::string_view kUnitsEnglish = R"(
kg kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes
g g gram grams gramme grammes
mg mg milligram milligrams
t ton tons tonne tonnes
lb lb lbs
pound pound pounds
oz oz ounce ounces
st stone
km km kms kilometer kilometers kilometre kilometres
m meter meters metre metres
cm cm centimeter centimeters centimetre centimetres
mm mm millimeter millimeters millimetre millimetres
mi mi mile miles
yd yd yard yards
ft ft foot feet
in inch inches
kmh kmh kph
mph mph
l l liter liters litre litres
ml ml milliliter milliliters millilitre millilitres
gal gallon gallons
pt pint pints
qt quart quarts
cup cup cups
tbsp tbsp tablespoon tablespoons
tsp tsp teaspoon teaspoons
celsius celsius centigrade
fahrenheit fahrenheit
kelvin kelvin
deg degree degrees
ms ms millisecond milliseconds
s sec secs second seconds
min min mins minute minutes
h h hr hrs hour hours
d day days
wk week weeks
mo month months
y yr yrs year years
% percent percentage %
am am a.m a.m.
pm pm p.m p.m.
b byte bytes
kb kb kilobyte kilobytes
mb mb megabyte megabytes
gb gb gigabyte gigabytes
tb tb terabyte terabytes
hz hz hertz
khz khz
mhz mhz
ghz ghz
w watt watts
kw kw kilowatt kilowatts
kwh kwh
v volt volts
amp amp amps ampere amperes
cal cal calorie calories
kcal kcal
acre acre acres
ha hectare hectares
)";

const std::string_view kCurrenciesEnglish = R"(
usd usd dollar dollars buck bucks $ us$
eur eur euro euros €
gbp gbp quid sterling £
jpy jpy yen ¥
cny cny rmb yuan renminbi
inr inr rupee rupees ₹
krw krw won ₩
rub rub ruble rubles rouble roubles ₽
chf chf franc francs
aud aud
cad cad
nzd nzd
hkd hkd
sgd sgd
twd twd
mxn mxn peso pesos
brl brl reais
sek sek krona kronor
try lira
btc btc bitcoin bitcoins ₿
eth eth ether ethereum
cent cent cents
)";

const std::string_view kDatesEnglish = R"(
m1 january jan
m2 february feb
m3 march mar
m4 april apr
m5 may
m6 june jun
m7 july jul
m8 august aug
m9 september sept sep
m10 october oct
m11 november nov
m12 december dec
d1 monday mon mondays
d2 tuesday tue tues tuesdays
d3 wednesday wed wednesdays
d4 thursday thu thur thurs thursdays
d5 friday fri fridays
d6 saturday sat saturdays
d7 sunday sun sundays
r0 today
r0n tonight
r1 tomorrow
r-1 yesterday
)";
// Only beside a number, or after "in", "on", "of", "since", "until", "by", "next", "last", "this".
const std::string_view kDoubtfulDates = R"(
may march mar jan jun sat sun mon wed dec sep
)";

}  // namespace nextgate::cache
