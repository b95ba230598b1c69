// English words that ask the same thing in a question to an assistant. Written by hand for this project.
// A line is a set of words of which each may stand for each other. Only what is the same in nearly every
// sentence belongs here: a set too wide is a wrong answer. Base forms, as in antonyms_en.cc.
#include "cache/semantic/word_lists.h"

namespace nextgate::cache {

const std::string_view kSynonymsEnglish = R"(
begin start commence beginning
stop cease halt quit
end finish ending
buy purchase
obtain acquire
mend repair fix
pick choose select choice selection
allow permit
forbid prohibit
delete erase deletion removal remove
cancel cancellation
activate activation enable
deactivate deactivation disable
verify verification
deliver delivery
receive get receipt
arrive arrival
withdraw withdrawal
refund reimburse reimbursement
exchange convert conversion
pay payment
cost price
fee charge
quick fast rapid quickly
big large
huge enormous
small little
difficult hard
easy simple
near close nearby
closest nearest
sick ill
wealthy rich
intelligent smart clever
stupid dumb
happy glad
sad unhappy
afraid scared
angry mad
beautiful pretty
strange weird
important essential
necessary required
correct right accurate
wrong incorrect
mistake error
issue problem trouble
reason cause
method way
assist help
answer reply
ask inquire
speak talk
tell inform
explanation description
define definition meaning mean
differ difference different
compare comparison
advantage benefit pros pro
disadvantage drawback cons con downside
movie film
tv television
phone telephone cellphone smartphone
photo picture photograph pic
picture image
bike bicycle
car automobile vehicle
kid child children
mom mother mum
dad father
doctor physician
lawyer attorney
teacher instructor
job occupation
company firm
shop store
supermarket grocery
holiday vacation
trip journey
airplane plane aircraft
flight fly
hotel lodging
restaurant eatery
meal dish
recipe recipes
cook prepare
gas gasoline petrol
limit restriction limitation
merchant retailer
agent representative
grocery groceries
odd strange
automatic auto
fix troubleshoot
waiting awaiting wait
locate location located
garbage trash rubbish
apartment flat
house home
street road
city town
country nation
nation country
uk britain
id identity identification
password passcode passphrase
pincode pin
login logon signin
logout logoff signout
signup register registration enroll enrol enrollment
app application
pc computer
laptop notebook
picture photo
email mail
sms text
website site webpage
internet web
wifi wireless
info information detail details
doc document
docs documentation
config configuration
setup set
setting settings
option options
quantity many number count
money fund
actual real
additional extra
prefer rather
decide determine
maximum max highest
us^ usa america
minimum min lowest
average mean
approximately roughly
nearly almost
entire whole
all every each everyone everybody everything
also too
often frequently
seldom rarely
maybe perhaps
now currently presently
current present
recent latest
previous last prior
next following upcoming
annual yearly
monthly month
daily day
weekly week
weather forecast
rain raining rainy
snow snowing snowy
steal theft
miss missing
find locate found
hide conceal
show display
view watch
view check
keep retain
alter change modify switch
update upgrade
improve better enhance improvement
increase raise
decrease reduce lower
rise grow growth
build construct
make create creation
produce production
develop development
design designing
learn study
teach instruct
translate translation
calculate compute calculation
estimate estimation
measure measurement
install installation
invest investment
invite invitation
invent invention
discover discovery
destroy destruction
decide decision
prove proof
lose loss
grow growth
weigh weight
live living
die death dead
birth born
marry marriage married
happen occur occurrence
try attempt
require need
suggest recommend recommendation suggestion
reserve book reservation booking
schedule scheduling
order ordering
transfer transferring
topup recharge
money cash
bill invoice
salary wage
atm cashpoint
card cards
reject decline
declined rejected
dispute contest
stuck frozen
broken break
damage damaged
expire expiration expiry
valid validity
permit permission
reset resetting
restart reboot
shutdown poweroff
crash crashing
bug defect
folder directory
lie untruth
colour color
favourite favorite
centre center
cheque check
verify check
grey gray
organise organize
recognise recognize
analyse analyze analysis
programme program
licence license
catalogue catalog
theatre theater
tyre tire
aluminium aluminum
jewellery jewelry
travelling traveling
cancelled canceled
hi hello
show see
try attempt
need require
look find
look search
look see
check see
check look
sell sale
use usage utilize
doughnut donut
dice die
grateful thankful
warning alert
restore revert
male man guy
rule regulation
airline carrier
fraudulent fraud
baked bake
combine merge
connect link
adjust change
bye goodbye
ok okay
)";

// A base form and what it becomes irregularly.
const std::string_view kIrregularEnglish = R"(
become became
begin began begun
bite bit bitten
blow blew blown
break broke broken
bring brought
build built
buy bought
catch caught
child children
choose chose chosen
come came
draw drew drawn
drink drank drunk
drive drove driven
eat ate eaten
fall fell fallen
feel felt
fight fought
find found
fly flew flown
foot feet
forget forgot forgotten
freeze froze frozen
get got gotten
give gave given
go went gone
grow grew grown
hang hung
hear heard
hide hid hidden
hold held
keep kept
know knew known
lay laid
lead led
leave left
lend lent
light lit
lose lost
make made
man men
mean meant
meet met
mouse mice
overdraw overdrawn
pay paid
person people
ride rode ridden
rise rose risen
run ran
say said
see saw seen
seek sought
sell sold
send sent
shake shook shaken
shine shone
shoot shot
show shown
sing sang sung
sink sank sunk
sit sat
sleep slept
slide slid
speak spoke spoken
spend spent
stand stood
steal stole stolen
strike struck
swear swore sworn
sweep swept
swim swam swum
swing swung
take took taken
teach taught
tear tore torn
tell told
think thought
throw threw thrown
tooth teeth
understand understood
wake woke woken
wear wore worn
win won
wind wound
withdraw withdrew withdrawn
woman women
write wrote written
)";

}  // namespace nextgate::cache
