// The style sheet and the script of report.html: page.css and page.js beside this file, built in.
#pragma once

#include <string>

namespace gibbsite {

extern const std::string page_style;
extern const std::string page_script;

}  // namespace gibbsite
