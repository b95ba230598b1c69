// The word lists as text, for word_tables.cc alone. All but the roles of antonyms are lines of words that
// are separated by spaces; the first says what the others are.
#pragma once

#include <string_view>

namespace nextgate::cache {

extern const std::string_view kRolesEnglish;       // role word…
extern const std::string_view kClosedEnglish;      // class word…
extern const std::string_view kNumbersEnglish;     // value word…
extern const std::string_view kFactorsEnglish;     // factor word…
extern const std::string_view kUnitsEnglish;       // code word…
extern const std::string_view kCurrenciesEnglish;  // code word…
extern const std::string_view kDatesEnglish;       // code word…
extern const std::string_view kDoubtfulDates;      // word…
extern const std::string_view kSynonymsEnglish;    // word…, all the same
extern const std::string_view kIrregularEnglish;   // base form…, of one word
extern const std::string_view kAntonymsEnglish;    // word… | word…

extern const std::string_view kRolesChinese;
extern const std::string_view kClosedChinese;
extern const std::string_view kNumbersChinese;
extern const std::string_view kFactorsChinese;
extern const std::string_view kUnitsChinese;
extern const std::string_view kCurrenciesChinese;
extern const std::string_view kDatesChinese;
extern const std::string_view kSynonymsChinese;
extern const std::string_view kAntonymsChinese;
extern const std::string_view kWordsChinese;  // others, so that they are read as one word

}  // namespace nextgate::cache
